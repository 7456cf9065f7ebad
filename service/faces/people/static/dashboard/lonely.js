// Where a line has nothing to be drawn to: minutes with a value between minutes without one, which get a dot.

export function lonely(plot, series) {
  const values = plot.data[series];
  const found = [...values.keys()].filter((at) => values[at] != null && values[at - 1] == null && values[at + 1] == null);
  return found.length ? found : null;
}
