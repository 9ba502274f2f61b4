"""Charts as SVG: bars with their spread, and lines over a logarithmic axis. Readable on light and on dark pages."""

import math
from html import escape
from statistics import quantiles

WIDTH, HEIGHT = 760, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 56, 60
COLOURS = ("#2563eb", "#d97706", "#059669", "#7c3aed")


def nice_top(value):
    """The end of an axis from 0: the next 1, 2, 2.5 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value)


def label(value):
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"


class Chart:
    """A title, a vertical axis from 0 to `top`, and what is drawn between."""

    def __init__(self, title, unit, top, width=WIDTH, left=LEFT):
        self.width, self.left, self.top = width, left, nice_top(top)
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" font-family="sans-serif" font-size="12">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{HEIGHT}" rx="6" fill="#ffffff"/>',
            f'<text x="{width / 2}" y="22" text-anchor="middle" font-size="15" fill="#111827">{escape(title)}</text>',
            f'<text x="{left - 8}" y="{TOP - 12}" text-anchor="end" fill="#4b5563">{escape(unit)}</text>',
        ]
        for step in range(6):
            value = self.top * step / 5
            y = self.y(value)
            self.parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - RIGHT}" y2="{y:.1f}" stroke="#e5e7eb"/>')
            self.text(left - 8, y + 4, label(value), "end")

    def y(self, value):
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)

    def text(self, x, y, text, anchor="middle"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#4b5563">{escape(text)}</text>')

    def legend(self, names):
        x = self.left
        for name, colour in zip(names, COLOURS):
            self.parts.append(f'<rect x="{x}" y="{HEIGHT - 18}" width="11" height="11" fill="{colour}"/>')
            self.text(x + 16, HEIGHT - 8, name, "start")
            x += 36 + 7 * len(name)

    def bar(self, x, width, samples, colour):
        """A bar to the middle of three numbers, with a whisker from the first to the last."""
        low, middle, high = samples
        y = self.y(middle)
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{HEIGHT - BOTTOM - y:.1f}" fill="{colour}"/>')
        centre = x + width / 2
        self.parts.append(f'<path d="M{centre - 4:.1f} {self.y(low):.1f}h8m-4 0V{self.y(high):.1f}m-4 0h8" stroke="#111827" fill="none"/>')

    def line(self, points, colour):
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self.parts.append(f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none"/>')
        self.parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]

    def svg(self):
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def three(samples):
    """Median and quartiles."""
    return tuple(quantiles(samples, n=4, method="inclusive")) if len(samples) > 1 else tuple(samples) * 3


def bars(title, unit, groups, series):
    """groups: { label: [samples of each series] }; a label may have two lines."""
    top = max(three(samples)[2] for group in groups.values() for samples in group)
    chart = Chart(title, unit, top)
    room = (chart.width - chart.left - RIGHT) / len(groups)
    width = room * 0.7 / len(series)
    for at, (name, group) in enumerate(groups.items()):
        start = chart.left + room * (at + 0.15)
        for index, samples in enumerate(group):
            chart.bar(start + width * index, width, three(samples), COLOURS[index])
        for row, text in enumerate(name.split("\n")):
            chart.text(start + room * 0.35, HEIGHT - BOTTOM + 16 + 14 * row, text)
    if len(series) > 1:
        chart.legend(series)
    return chart.svg()


def lines(title, unit, x_label, points, limit=None):
    """points: { series: [(x, y), …] }; the horizontal axis is logarithmic. `limit` is (name, value) of a dashed line."""
    every = [point for one in points.values() for point in one]
    chart = Chart(title, unit, max([y for _, y in every] + ([limit[1]] if limit else [])))
    low, high = (math.log10(edge(x for x, _ in every)) for edge in (min, max))
    def place(x):
        return chart.left + 20 + (math.log10(x) - low) / (high - low) * (chart.width - chart.left - RIGHT - 60)
    for x in sorted({x for x, _ in every}):
        chart.text(place(x), HEIGHT - BOTTOM + 16, f"{x:,}")
    chart.text(chart.width / 2, HEIGHT - BOTTOM + 32, x_label)
    if limit:
        y = chart.y(limit[1])
        chart.parts.append(f'<line x1="{chart.left}" y1="{y:.1f}" x2="{chart.width - RIGHT}" y2="{y:.1f}" '
                           'stroke="#dc2626" stroke-dasharray="6 4"/>')
        chart.text(chart.left + 6, y - 5, limit[0], "start")
    for colour, series in zip(COLOURS, points.values()):
        chart.line([(place(x), chart.y(y)) for x, y in series], colour)
    chart.legend(points)
    return chart.svg()
