"""What rules do with a study: ``route``."""

from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from db.repository import deciding, settling
from db.states import StudyState
from inference.registry import CARDS
from inference.wording import counted
from node.cli.entry import ConfigOption, JsonOption, app, fail, load_config, open_database, study_named
from node.console import as_json, console, show_rule
from node.explanation import Explanation, PipelineOutcome, StackExplained, explain
from node.routing import EXCLUDED


@app.command()
def route(
    study: Annotated[str, typer.Argument(help="Study Instance UID or its end.")],
    config: ConfigOption = None,
    try_file: Annotated[
        Path | None, typer.Option("--try", help="A config.toml whose rules are tried instead; nothing is changed.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Explain what every rule does with every stack of a study, and why."""
    settings = load_config(config)
    tried = load_config(try_file) if try_file else settings
    with open_database(settings) as database, database.read() as session:
        study = study_named(session, study)
        found = settling.find(session, study)
        if found is None:
            fail(f"the study {study} went just now")
        held = found.state is StudyState.HELD
        ended = settling.ended_jobs(session, found.id)
        compared = found.state is StudyState.SETTLED and try_file is None
        decided = deciding.decided(session, found) if compared else None
        explanation = explain(study, settling.instances(session, found.id), tried, CARDS, ended, decided)
    if json:
        print(as_json(explanation))  # noqa: T201 - for a script, not for a terminal
        return
    _show(explanation)
    if held:
        console.print(f"[yellow]The study is held: nothing of this happens before[/] opacity-node resolve {study}")


def _show(explanation: Explanation) -> None:
    console.print(f"[bold]study {explanation.study_instance_uid}[/]", soft_wrap=True)
    came = f"{counted(explanation.instances, 'instance')} in {counted(explanation.stacks, 'stack')}"
    console.print(
        f"{came}, {', '.join(explanation.modalities)} · complete after {explanation.quiet_s:g} s of quiet",
        highlight=False,
    )
    for rule in explanation.rules:
        console.print()
        show_rule(rule.rule)
        if not rule.applies:
            wanted = " or ".join(rule.rule.conditions.modality or ())
            console.print(f"  [yellow]does not apply[/]: it asks for modality {wanted}", highlight=False)
        for stack in rule.stacks:
            _show_stack(stack, explanation)


def _show_stack(stack: StackExplained, explanation: Explanation) -> None:
    console.print()
    came = f"{stack.calling_ae_title or '?'} → {stack.called_ae_title or '?'}"
    _line(2, f"[bold]{escape(stack.stack)}[/] [dim]· {counted(stack.instances, 'instance')} · {escape(came)}[/]")
    for verdict in stack.verdicts:
        if not verdict.met:
            _line(4, f"[red]✗[/] {escape(str(verdict))}")
    if met := " · ".join(f"{v.condition} {v.found}" for v in stack.verdicts if v.met):
        _line(4, f"[green]✓[/] [dim]{escape(met)}[/]")
    for outcome in stack.outcomes:
        _show_outcome(outcome)
        if outcome.decided_otherwise and explanation.decided_at is not None:
            when = f"{explanation.decided_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
            command = f"opacity-node decide {explanation.study_instance_uid}"
            _line(4, f"[yellow]decided {when} otherwise; {command} applies these rules[/]")


def _show_outcome(outcome: PipelineOutcome) -> None:
    whereto = escape(", ".join(outcome.destinations) or "nowhere")
    if outcome.runs:
        _line(4, f"[green]{outcome.pipeline} runs → {whereto}[/]: {escape(outcome.reason)}")
    elif outcome.code == EXCLUDED:
        _line(4, f"{outcome.pipeline} does not run: [dim]excluded by the rule[/]")
    else:
        _line(4, f"{outcome.pipeline} does not run: [dim]{escape(outcome.reason)}[/]")
    if outcome.notice is not None:
        _line(4, f"[yellow]notice → {whereto}[/]: {escape(outcome.notice)}")


def _line(indent: int, text: str) -> None:
    console.print(Padding(Text.from_markup(text), (0, 0, 0, indent)))
