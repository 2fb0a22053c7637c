# The web page with the rows of zoo/, without a GPU: docs/deploying.md
FROM python:3.12-slim AS build
WORKDIR /build
ENV PATH=/opt/afterimage/bin:$PATH VIRTUAL_ENV=/opt/afterimage UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1
COPY requirements-setup.txt requirements.txt pyproject.toml README.md LICENSE deploy/pins.py ./
RUN python -m venv /opt/afterimage \
    && python -m pip install --require-hashes --only-binary :all: -r requirements-setup.txt
# uv knows where torch's builds for CPUs are; the others would bring 4 GB of libraries for GPUs
RUN python pins.py < requirements.txt > pins.txt \
    && uv pip install --torch-backend cpu --no-build-isolation --constraint pins.txt -r pyproject.toml
COPY src src
RUN uv pip install --no-build-isolation --no-deps .

FROM python:3.12-slim
RUN useradd --uid 1000 --create-home afterimage
COPY --from=build /opt/afterimage /opt/afterimage
WORKDIR /srv/afterimage
COPY params.yaml ./
COPY zoo zoo
USER 1000
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["/opt/afterimage/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
ENTRYPOINT ["/opt/afterimage/bin/afterimage", "app", "--address", "0.0.0.0"]
