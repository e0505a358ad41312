"""`vibestream proof verify`: Groth16 proofs in snarkjs's own files, checked by the kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Zero-knowledge proofs.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Without this Typer would take `verify`, the only command, for the group itself."""


@app.command("verify")
def verify_command(
    key: Annotated[Path, typer.Option(help="verification_key.json, as snarkjs exports it.")],
    proof: Annotated[Path | None, typer.Option(help="proof.json")] = None,
    public: Annotated[Path | None, typer.Option(help="public.json")] = None,
    cases: Annotated[
        Path | None,
        typer.Option(help='JSON lines of {"proof": …, "publicSignals": […]}: a verdict for each.'),
    ] = None,
) -> None:
    """Print `valid` or the code of the refusal. The status is 0 if everything is valid, else 1."""
    from deployments.commands.proof_files import judge_cases, judge_files, read_key
    from kernels.compile import cache_folder, is_cold
    from kernels.groth16 import Malformed, Verdict

    if (proof is None) != (public is None) or (proof is None) == (cases is None):
        raise typer.BadParameter("say --proof and --public, or --cases")
    if is_cold(cache_folder("groth16")):
        typer.echo("compiling the verifier: a minute or so, once", err=True)
    try:
        checked = read_key(key)
    except Malformed as error:
        typer.echo(error.code)
        raise typer.Exit(1) from None
    are_valid = True
    if proof and public:
        verdicts = iter([judge_files(checked, proof, public)])
    elif cases:
        verdicts = judge_cases(checked, cases)
    for verdict in verdicts:
        typer.echo(str(verdict))
        are_valid = are_valid and verdict is Verdict.VALID
    raise typer.Exit(0 if are_valid else 1)
