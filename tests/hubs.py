"""A stand-in for the Hugging Face hub with repositories of models, which speaks its protocol."""

import base64
import json
import re
from hashlib import sha1, sha256

from servers import Answer, Request


class Models:
    """Repositories that come into being, take commits and give them back.

    Attributes:
        token: of who may write.
        commits: the files of each commit of each repository, the newest last.
    """

    def __init__(self, token: str = "secret"):
        self.token = token
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}

    def __call__(self, request: Request) -> Answer:
        if request.path == "/api/validate-yaml":
            return _json({"errors": [], "warnings": []})
        writes = request.method == "POST"
        if writes and request.headers.get("authorization") != f"Bearer {self.token}":
            return Answer(status=401)
        if request.path == "/api/repos/create":
            return self._created(json.loads(request.body))
        found = re.fullmatch(r"/(?:api/models/)?([\w.-]+/[\w.-]+)(?:/(\w+)/([\w.-]+))?(?:/(.*))?", request.path)
        if not found or found[1] not in self.commits:
            return Answer(status=404, headers={"X-Error-Code": "RepoNotFound"})
        repository, verb, revision, file = found.groups()
        if verb == "preupload":
            names = [each["path"] for each in json.loads(request.body)["files"]]
            return _json({"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]})
        if verb == "commit":
            return self._committed(repository, request.body)
        commit = list(self.commits[repository])[-1] if revision in (None, "main") else revision
        if commit not in self.commits[repository]:
            return Answer(status=404, headers={"X-Error-Code": "RevisionNotFound"})
        held = self.commits[repository][commit]
        if verb == "resolve":
            if file not in held:
                return Answer(status=404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            tag = {"ETag": f'"{sha256(held[file]).hexdigest()}"', "X-Repo-Commit": commit}
            return Answer(held[file], headers=tag, file=True)
        if verb == "tree":
            return _json([{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in held.items()])
        siblings = [{"rfilename": name} for name in held]
        return _json({"_id": "0", "id": repository, "sha": commit, "private": False, "siblings": siblings})

    def _created(self, asked: dict[str, str]) -> Answer:
        repository = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        self.commits[repository] = {"0" * 40: {".gitattributes": b""}}
        return _json({"url": f"/{repository}"})

    def _committed(self, repository: str, body: bytes) -> Answer:
        held = dict(list(self.commits[repository].values())[-1])
        for line in body.splitlines():
            change = json.loads(line)
            value = change["value"]
            if change["key"] == "file":
                held[value["path"]] = base64.b64decode(value["content"])
            elif change["key"] == "deletedFile":
                del held[value["path"]]
        commit = sha1(body).hexdigest()
        self.commits[repository][commit] = held
        return _json({"success": True, "commitOid": commit, "commitUrl": f"/{repository}/commit/{commit}"})


def _json(data: object) -> Answer:
    return Answer(json.dumps(data).encode(), headers={"Content-Type": "application/json"})
