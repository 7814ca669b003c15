"""What a comparison of servers found, told: as tables of Markdown, and as a plot.

A run is one play of the load against one server: its row, its server, its round, and the figures by name.
"""

import os
import pathlib
import statistics
import subprocess
import tempfile

# A server that had less of its processor to do than this was kept waiting by the load.
BUSY = 0.95


class Runs:
    """All runs that were kept."""

    def __init__(self, runs):
        self.runs = runs

    def by_round(self, row, server, figure):
        """One figure of a row and a server, by round."""
        found = [run for run in self.runs if run["row"] == row.name and run["server"] == server and figure in run]
        return {run["round"]: run[figure] for run in found}

    def of(self, row, server, figure):
        """The same, as a list."""
        return list(self.by_round(row, server, figure).values())

    def ratios(self, row, server, floor, figure):
        """What a server takes, in those of the floor in the same round: what bends a round bends both."""
        ours, floors = self.by_round(row, server, figure), self.by_round(row, floor, figure)
        return [ours[number] / floors[number] for number in ours if number in floors]

    def starts(self, server):
        """How long a server took to answer, from its start."""
        return [run["start_ms"] for run in self.runs if run["server"] == server]


def spell(values, digits, unit=""):
    """A median, and the span of all."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f}{unit} ({low:,.{digits}f} to {high:,.{digits}f})"


def spell_rate(runs, row, server):
    """Operations a second: at least so many, where the server was kept waiting."""
    rates, costs = runs.of(row, server, "rate"), runs.of(row, server, "cpu")
    if not rates:
        return ""
    rate = statistics.median(rates)
    return ("≥ " if rate * statistics.median(costs) / 1e6 < BUSY else "") + f"{rate:,.0f}"


def main_table(rows, peers, runs):
    """What each server takes, and how often the floor's."""
    names = [peer.name for peer in peers if not peer.bound and not peer.is_sharded]
    lines = ["| | floor | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for row in rows:
        if row.of_shards_alone:
            continue
        floor = runs.of(row, row.floor, row.figure) if row.floor else []
        cells = [f"{statistics.median(floor):,.{row.digits}f}" if floor else ""]
        for name in names:
            kept, ratios = runs.of(row, name, row.figure), runs.ratios(row, name, row.floor, row.figure)
            if not kept:
                cells.append("")
            elif ratios:
                cells.append(f"{statistics.median(kept):,.{row.digits}f}, {spell(ratios, 2, 'x')}")
            else:
                cells.append(spell(kept, row.digits))
        lines.append(f"| {row.title}, {row.unit} | " + " | ".join(cells) + " |")
        if "rate" in row.read:
            cells = [spell_rate(runs, row, name) for name in [row.floor, *names]]
            lines.append("| &emsp; a second | " + " | ".join(cells) + " |")
    starts = [runs.starts(name) for name in names]
    lines.append("| start to first answer, ms | | " + " | ".join(
        f"{statistics.median(kept):,.1f}" if kept else "" for kept in starts) + " |")
    sizes = {peer.name: size_of(peer) for peer in peers}
    lines.append("| program, stripped, MB | | " + " | ".join(f"{sizes[name] / 1e6:.1f}" for name in names) + " |")
    return lines


def size_of(peer):
    """The bytes of a server's program, without its symbols."""
    if peer.program.suffix == ".jar":
        return peer.program.stat().st_size
    with tempfile.NamedTemporaryFile() as stripped:
        subprocess.run(["strip", "-o", stripped.name, peer.program], check=True)
        return os.path.getsize(stripped.name)


def shards_table(rows, peers, runs):
    """What a second worker brings and costs."""
    both = [peer for peer in peers if peer.is_sharded or peer.name == "geoloop"]
    if len(both) < 2:
        return []
    one, two = both
    where = "on the same processor" if two.processors == 1 else f"on {two.processors} processors"
    lines = [f"| | one worker, µs | two {where}, µs | one, a second | two, a second |", "|---|---|---|---|---|"]
    for row in rows:
        ratios = runs.ratios(row, two.name, one.name, row.figure)
        if row.shards and ratios:
            costs = [f"{statistics.median(runs.of(row, peer.name, row.figure)):,.{row.digits}f}" for peer in both]
            rates = [spell_rate(runs, row, peer.name) for peer in both]
            lines.append(f"| {row.shards} | {costs[0]} | {costs[1]}, {spell(ratios, 2, 'x')} | " + " | ".join(rates) + " |")
    return lines


def draw(rows, runs, path):
    """Every row's figure on each server, on a logarithmic scale; says so where it cannot."""
    try:
        import matplotlib
        matplotlib.use("svg")
        from matplotlib import pyplot
    except ImportError:
        print("skipped: the plot needs matplotlib")
        return
    matplotlib.rcParams["svg.hashsalt"] = "compare"
    servers = [("floor", "#999999", "|"), ("geoloop", "#d62728", "o"), ("axum", "#1f77b4", "s"), ("actix", "#2ca02c", "D"),
               ("spring", "#9467bd", "^")]
    units = {"µs": "CPU of an operation, µs", "bytes": "resident memory of a connection, bytes", "ms": "delivery p99, ms"}
    measured = [row for row in rows if runs.of(row, "geoloop", row.figure) and not row.of_shards_alone]
    drawn = {unit: [row for row in measured if row.unit == unit][::-1] for unit in units}
    drawn = {unit: of_unit for unit, of_unit in drawn.items() if of_unit}
    heights = [len(of_unit) + 1.2 for of_unit in drawn.values()]
    figure, places = pyplot.subplots(len(drawn), figsize=(10, sum(heights) * 0.36), height_ratios=heights, layout="constrained",
                                     squeeze=False)
    places = places[:, 0]
    for axes, unit in zip(places, drawn):
        for name, colour, mark in servers:
            found = [(runs.of(row, row.floor if name == "floor" else name, row.figure), place)
                     for place, row in enumerate(drawn[unit])]
            points = [(statistics.median(kept), place) for kept, place in found if kept]
            axes.plot(*(zip(*points) if points else ([], [])), mark, color=colour, label=name, markersize=11 if mark == "|" else 6)
        axes.set_yticks(range(len(drawn[unit])), [row.title for row in drawn[unit]])
        axes.set_ylim(-0.6, len(drawn[unit]) - 0.4)
        axes.set_xscale("log")
        axes.set_xlabel(units[unit])
        axes.grid(True, color="#dddddd")
        axes.set_axisbelow(True)
    figure.legend(*places[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(servers), frameon=False)
    figure.savefig(path, metadata={"Date": None})


def put_into_readme(path: pathlib.Path, lines):
    """Puts the tables between their marks."""
    begin, end = "<!-- compare: begin -->\n", "<!-- compare: end -->\n"
    text = path.read_text()
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    path.write_text(before + begin + "\n".join(lines) + "\n" + end + after)
