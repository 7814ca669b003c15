"""Reads the report of an Autobahn|Testsuite run and says in a few lines how it went.

Lists every case that did not behave and close as the suite likes best, and fails unless every case of the sections
asked for was run and did at least what RFC 6455 asks (which is what the suite means by NON-STRICT).
"""

import json
import pathlib
import sys
from collections import Counter

# Cases in sections 1 to 7, 9 and 10 of the suite's version that scripts/autobahn pins.
CASES = 301
BEST = {"OK", "INFORMATIONAL"}
GOOD = BEST | {"NON-STRICT"}


def natural(case):
    """Sorts 1.10 behind 1.9."""
    return [int(part) for part in case.split(".")]


def table(results):
    """One line a section: how many cases behaved how."""
    behaviours = sorted({result["behavior"] for result in results.values()})
    sections = {}
    for case, result in results.items():
        sections.setdefault(case.split(".")[0], Counter())[result["behavior"]] += 1
    lines = ["section  " + "  ".join(behaviours)]
    for section in sorted(sections, key=int):
        cells = [str(sections[section][name]).rjust(len(name)) for name in behaviours]
        lines.append(section.ljust(7) + "  " + "  ".join(cells))
    total = Counter(result["behavior"] for result in results.values())
    lines.append("all".ljust(7) + "  " + "  ".join(str(total[name]).rjust(len(name)) for name in behaviours))
    return lines


def main():
    folder = pathlib.Path(sys.argv[1])
    agents = json.loads((folder / "index.json").read_text())
    (results,) = agents.values()
    print("\n".join(table(results)))
    seen = {case: {results[case]["behavior"], results[case]["behaviorClose"]} for case in sorted(results, key=natural)}
    told = [case for case in seen if not seen[case] <= BEST]
    bad = [case for case in seen if not seen[case] <= GOOD]
    for case in told:
        result = results[case]
        detail = json.loads((folder / result["reportfile"]).read_text())
        print(f"case {case}: {result['behavior']}, close {result['behaviorClose']}: {detail['description'][:120]!r}")
        print(f"    {detail['result']}; {detail['resultClose']}")
    print(f"{len(results)} cases, {len(bad)} bad, {len(told) - len(bad)} non-strict; the whole report: {folder}/index.html")
    if len(results) != CASES:
        print(f"autobahn: {len(results)} cases ran where {CASES} should")
    sys.exit(bool(bad) or len(results) != CASES)


if __name__ == "__main__":
    main()
