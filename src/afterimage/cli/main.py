"""The group of commands. What a command needs is imported when it runs, so that `--help` answers at once."""

import errno
import importlib
import sys
from typing import Any

import click

from afterimage.core.errors import AfterimageError

COMMANDS = {
    "rows": "List rows and their numbers on the test images.",
    "zoo": "List the rows that come trained with the project.",
    "card": "Say where the numbers of a row come from.",
    "diff": "Compare two revisions: what got better, what worse.",
    "comment": "Write the comment of a pull request.",
    "app": "Open the web page.",
    "reconstruct": "Rebuild images from their features.",
    "invert": "Search for the images of features from files.",
    "inpaint": "Fill holes in images.",
    "complete": "Fill holes several times, and show where the answers differ.",
    "restore": "Restore clips, images and folders of images.",
    "submission": "Fill the boxes of many images, as one CSV file.",
    "check-submission": "Check such a file, and score it.",
    "evaluate": "Score anybody's images beside the baselines.",
    "leak": "Say how much of people comes back from features.",
    "export": "Write a row as ONNX, TorchScript or safetensors.",
    "publish": "Send a row to the Hugging Face hub.",
    "verify": "Check that a run gave the bits that are committed.",
    "clean": "Remove what rows and presets of before left behind.",
    "preset": "List the presets, or lay one over params.yaml.",
    "plan": "Say what a preset takes: hours, disk, network.",
}
"""In the order of `--help`, which imports none of them. Each is the function `command` of the module of its name."""


class Commands(click.Group):
    """A group that imports a command when it is asked for, and ends with one line for a fault that the user can mend.

    The pattern is click's own "lazily loading subcommands".
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"afterimage.cli.{cmd_name.replace('-', '_')}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AfterimageError as error:
            text = str(error)
        except OSError as error:
            if error.strerror is None or error.errno == errno.EPIPE:  # click ends quietly where nobody reads on
                raise
            text = f"{error.strerror}: {error.filename or ''}".rstrip(": ")
        click.echo(f"afterimage: {text}", err=True)
        sys.exit(1)


EPILOG = """\b
Names of commands, options and rows complete in a shell that was told so:
  bash  eval "$(_AFTERIMAGE_COMPLETE=bash_source afterimage)"   in ~/.bashrc
  zsh   eval "$(_AFTERIMAGE_COMPLETE=zsh_source afterimage)"    in ~/.zshrc
  fish  _AFTERIMAGE_COMPLETE=fish_source afterimage | source    in config.fish"""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(package_name="afterimage")
def main() -> None:
    """Rebuild images from what is left of them, and measure how much came back."""
