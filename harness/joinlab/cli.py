"""The command `joinlab`: runs its commands (``commands.py``) and tells an error in a line, without a traceback.

May not know: which commands there are. Imports nothing foreign before it has seen that it is there.
"""

import sys

from joinlab.errors import JoinlabError
from joinlab.installation import whole_installation

EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    try:
        with whole_installation():
            from joinlab.commands import app

            app()
    except JoinlabError as error:
        for line in error.lines:
            print(f"joinlab: {line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
