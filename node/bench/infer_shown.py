"""What `node.bench.infer` measured, on a terminal."""

from rich.table import Table

from node.bench.infer import InferenceTime
from node.bench.xray_rates import Rate
from node.console import console


def show(report: InferenceTime) -> None:
    """Print the medians."""
    console.print(f"{report.study}: {report.instances} slices, {report.device}; random weights", highlight=False)
    console.print(f"Published package: {report.package}", highlight=False)
    for side in report.sides:
        table = Table("part", "seconds", "share of the limit", title=f"{side.name}, {side.precision}")
        for name, seconds in side.parts.items():
            table.add_row(name, f"{seconds:.2f}", f"{side.shares[name]:.0%}" if name in side.shares else "")
        table.add_section()
        table.add_row("[bold]all[/]", f"[bold]{side.wall_s:.2f}[/]")
        table.add_row("processor", f"{side.cpu_s:.2f}")
        table.add_row("memory beside the weights", f"{side.memory_mb:.0f} MB")
        console.print(table)
    for precision, ratio in report.faster.items():
        by_processor = report.faster_by_processor_time[precision]
        console.print(
            f"balaitous in {precision}: {ratio:.2f} times as fast as its package (processor time {by_processor:.2f}), "
            f"probabilities at most {report.apart[precision]:.1e} apart",
            highlight=False,
        )
    for name, memory_mb in report.long_memory_mb.items():
        console.print(
            f"{name} on {report.long_instances} slices: {memory_mb:.0f} MB beside its weights", highlight=False
        )
    for rate in report.xrays:
        _show_rate(rate)
    console.print(", ".join(f"{key} {value}" for key, value in report.machine.items()), highlight=False)


def _show_rate(rate: Rate) -> None:
    console.print(
        f"{rate.pipeline} in {rate.precision}: {rate.together_per_s:.3f} images/s of {rate.images} together, "
        f"{rate.alone_per_s:.3f} alone, {rate.naively_per_s:.3f} naively: {rate.faster:.2f} times as fast (processor "
        f"time {rate.faster_by_processor_time:.2f}), at most {max(rate.apart.values()):.1e} apart",
        highlight=False,
    )
    for name, seconds in rate.parts.items():
        share = f", {rate.shares[name]:.0%} of the limit" if name in rate.shares else ""
        console.print(f"  {name} {seconds:.2f} s{share}", highlight=False)
