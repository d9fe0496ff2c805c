"""The commands of `joinlab`. Each imports what it needs when it runs, so that --help is quick.

May not know: how anything is done; each command is a few lines that call the module that does it.
"""

import contextlib
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from joinlab.errors import UnfitMachine, UsageError

if TYPE_CHECKING:
    from joinlab.plan import LabPlan

app = typer.Typer(
    help="Real labs for multicast and multipoint software.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class RuntimeName(StrEnum):
    """The values of --runtime; the same as ``runtimes.NAMES``, which would take long to import for --help."""

    AUTO = "auto"
    DOCKER = "docker"
    NETNS = "netns"


Topology = Annotated[str, typer.Argument(help="Name of a topology (see: joinlab topologies) or path of a file.")]
Leaves = Annotated[int | None, typer.Option(help="How many leaves, instead of what the file says.")]
Runtime = Annotated[RuntimeName, typer.Option(help="What a node is; auto takes docker where an engine answers.")]
Igmp = Annotated[int | None, typer.Option(help="IGMP version, 2 or 3, instead of what the file says.")]
Preset = Annotated[str | None, typer.Option(help="Multicast timers, test or field, instead of what the file says.")]


@app.command()
def up(
    topology: Topology,
    leaves: Leaves = None,
    runtime: Runtime = RuntimeName.AUTO,
    igmp: Igmp = None,
    preset: Preset = None,
) -> None:
    """Hold a lab open, with a prompt; Ctrl-D or Ctrl-C takes it down."""
    plan = _plan(topology, leaves, igmp, preset)
    from joinlab.interactive import Prompt, ended_by_signals
    from joinlab.lab import Lab

    console = Console(highlight=False)
    with ended_by_signals(), Lab(plan, runtime=runtime, announce=console.print) as lab:
        Prompt(lab, f"{plan.name}-{os.getpid()}", console).hold()


@app.command()
def shell(
    node: Annotated[str, typer.Argument(help="Name of a node, such as leaf1.")],
    lab: Annotated[str | None, typer.Option(help="Which lab, when several are held open.")] = None,
) -> None:
    """Open a shell in a node of a lab that `joinlab up` holds open."""
    from joinlab import rendezvous

    runs = rendezvous.runs() if lab is None else [lab]
    if not runs:
        raise UsageError("no lab is held open: joinlab up TOPOLOGY, in another terminal, starts one")
    if len(runs) > 1:
        raise UsageError(f"several labs are held open; choose one: joinlab shell {node} --lab {'|'.join(runs)}")
    argv = rendezvous.ask(runs[0], "shell", node=node)
    os.execvp(argv[0], argv)


@app.command()
def topologies() -> None:
    """List the topologies that have a name."""
    from joinlab.topology import available, load

    for name, file in available().items():
        try:
            text = load(str(file)).description
        except UsageError as error:
            text = f"not valid: {error}"
        typer.echo(f"{name:12} {text or file}")


@app.command()
def check(topology: Topology, leaves: Leaves = None, igmp: Igmp = None, preset: Preset = None) -> None:
    """Check a topology file, and say what it describes."""
    plan = _plan(topology, leaves, igmp, preset)
    nodes, links, bridges = len(plan.nodes), len(plan.links), len(plan.bridges)
    typer.echo(f"{plan.source}: {plan.name}, nodes: {nodes}, links: {links}, bridges: {bridges}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of topology files, for editors."""
    from joinlab import topology

    typer.echo(topology.schema(), nl=False)


@app.command()
def doctor() -> None:
    """Say what this machine offers and everything that is missing, each with its cure."""
    from joinlab import doctor as practice

    findings = practice.examine()
    practice.show(findings, Console(highlight=False))
    if not practice.can_run(findings):
        raise typer.Exit(UnfitMachine.exit_code)


@app.command()
def image() -> None:
    """Build the node image of the docker runtime, if it is not there."""
    from joinlab.engine import connect
    from joinlab.image import ensure_image

    with contextlib.closing(connect()) as client:
        typer.echo(ensure_image(client, lambda line: typer.echo(line, err=True)))


@app.command()
def clean(images: Annotated[bool, typer.Option("--images", help="Node images of other versions too.")] = False) -> None:
    """Remove what dead runs left behind; a run that is alive is left alone."""
    from joinlab import leftovers

    found = leftovers.remove(images=images)
    for item in found:
        typer.echo(f"removed {item}")
    typer.echo("nothing is left" if found else "there was nothing to remove")


def _plan(topology: str, leaves: int | None, igmp: int | None, preset: str | None) -> "LabPlan":
    from joinlab.planning import plan
    from joinlab.topology import Overrides, load

    return plan(load(topology, Overrides(leaves=leaves, igmp=igmp, preset=preset)))
