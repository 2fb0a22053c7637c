"""Whether people can still be told apart: the pair test of face verification, before and after restoring.

The test is that of Huang et al. (Labeled Faces in the Wild, 2007) as an image is answered for it: a restored image is
compared with the originals of all others, those of the same person and those of other people. Its score is the share
of pairs (one of each) of which the same person's is more similar, that is the area under its ROC curve: 1 where the
person is always recognised, 0.5 where nothing is left to tell. What is compared are features of a network that was not
made for faces, so scores say what a restorer keeps, and nothing about recognising people.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from afterimage.core.errors import MetricError
from afterimage.core.images import Uint8
from afterimage.evaluation.metrics import Floats

Embed = Callable[[Uint8], Floats]
"""From images `[N, H, W, 3]` to features `[N, C]`."""


class Verification:
    """Compares images with a gallery of originals.

    Args:
        originals: key, person and image `[H, W, 3]` of each.

    Raises:
        MetricError: they are all of one person.
    """

    def __init__(self, embed: Embed, originals: Iterable[tuple[str, str, Uint8]]):
        keys, people, features = zip(*((key, who, embed(image[None])[0]) for key, who, image in originals), strict=True)
        self._embed, self._place = embed, {key: place for place, key in enumerate(keys)}
        self._people = np.array(people)
        if len(set(people)) < 2:
            raise MetricError(f"the test images are of {people[0]} alone; verification needs two people or more")
        # Features after a ReLU all point to one side: only what differs from their mean tells images apart
        self._mean = np.mean(features, axis=0)
        self._gallery = self._directions(np.stack(features))

    def __call__(self, keys: Sequence[str], images: Uint8) -> Floats:
        """The score of each image in the place of the original of its key.

        An image is not compared with its own original, unless its person has no other.
        """
        similar = self._directions(self._embed(images)) @ self._gallery.T
        return np.array([self._score(self._place[key], line) for key, line in zip(keys, similar, strict=True)])

    def originals(self, keys: Sequence[str]) -> Floats:
        """The same of the originals themselves."""
        places = [self._place[key] for key in keys]
        similar = self._gallery[places] @ self._gallery.T
        return np.array([self._score(place, line) for place, line in zip(places, similar, strict=True)])

    def _directions(self, features: Floats) -> Floats:
        apart = features - self._mean
        return np.asarray(apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-12))

    def _score(self, place: int, similar: Floats) -> float:
        same = self._people == self._people[place]
        others = np.sort(similar[~same])
        if same.sum() > 1:
            same[place] = False
        below, upto = (np.searchsorted(others, similar[same], side=side) for side in ("left", "right"))
        return float(np.mean(below + upto) / (2 * len(others)))
