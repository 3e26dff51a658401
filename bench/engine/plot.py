"""The curves of bench/engine as an SVG: cost over the number of resources, both axes logarithmic."""
import math

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 460, 70, 30, 190, 50
COLOURS = ("#1b6ca8", "#c0392b", "#27865f", "#8e5aa8", "#b9770e", "#444444", "#16808c", "#7f8c2d")
STEPS = ("plan", "apply", "no-change", "destroy")


def lines_of(figures, key):
    """(label, [(n, cost)]) of each step, of the first shape that each program was given."""
    found = {}
    for who, shape, n, steps in figures:
        for step in STEPS:
            if step in steps and steps[step][key] > 0:
                found.setdefault(f"{who} {shape} {step}", []).append((n, steps[step][key]))
    return [(label, points) for label, points in found.items() if len(points) > 1]


def scale(low, high, size):
    span = math.log10(high) - math.log10(low) or 1
    return lambda value: (math.log10(value) - math.log10(low)) / span * size


def powers(low, high):
    return [10.0 ** exponent for exponent in range(math.ceil(math.log10(low) - 1e-9),
                                                   math.floor(math.log10(high) + 1e-9) + 1)]


def write(figures, path, key="cpu", unit="s of CPU"):
    shapes = {shape for _, shape, _, _ in figures}
    chosen = "tree" if "tree" in shapes else sorted(shapes)[0]
    lines = lines_of([row for row in figures if row[1] == chosen], key)
    if not lines:
        return
    every = [point for _, points in lines for point in points]
    low_n, high_n = min(n for n, _ in every), max(n for n, _ in every)
    low, high = min(cost for _, cost in every) / 1.5, max(cost for _, cost in every) * 1.5
    x_of, y_of = scale(low_n, high_n, WIDTH - LEFT - RIGHT), scale(low, high, HEIGHT - TOP - BOTTOM)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
           'font-family="sans-serif" font-size="11">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{LEFT}" y="18" font-size="13">{unit} over the number of resources ({chosen})</text>']
    bottom = HEIGHT - BOTTOM
    for n in powers(low_n, high_n):
        x = LEFT + x_of(n)
        out.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>'
                   f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{int(n):,}</text>')
    for cost in powers(low, high):
        y = bottom - y_of(cost)
        out.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{cost:g} s</text>')
    for index, (label, points) in enumerate(lines):
        colour = COLOURS[index % len(COLOURS)]
        path_points = " ".join(f"{LEFT + x_of(n):.1f},{bottom - y_of(cost):.1f}" for n, cost in points)
        out.append(f'<polyline points="{path_points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        n, cost = points[-1]
        out.append(f'<text x="{LEFT + x_of(n) + 6:.1f}" y="{bottom - y_of(cost) + 4:.1f}" '
                   f'fill="{colour}">{label}</text>')
    out.append("</svg>")
    with open(path, "w") as file:
        file.write("\n".join(out) + "\n")
