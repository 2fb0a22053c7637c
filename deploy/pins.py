"""requirements.txt, from standard input, as constraints for an image without a GPU: torch and torchvision keep their
versions and lose their hashes, which are those of the builds for GPUs."""

import re
import sys

BUILDS = "torch", "torchvision"

if __name__ == "__main__":
    pins = re.split(r"\n(?=\S)", sys.stdin.read())
    print("\n".join(pin.partition(" \\\n")[0] if pin.partition("==")[0] in BUILDS else pin for pin in pins))
