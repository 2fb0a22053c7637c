"""PixelRNN: images completed pixel by pixel, each from all that came before it.

`masked.py` has the convolutions that keep the order, `blocks.py` the layers of van den Oord et al. built from them,
`likelihoods.py` what is said about a pixel, `network.py` puts them together. `sampling.py` completes images the plain
way, `cached.py` with `rows.py` the fast way. `completer.py` trains rows of `completers`, `completing.py` completes
their test images.
"""
