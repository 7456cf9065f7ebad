// How charts name a time: in UTC, as tables, captions and logs have theirs.

export const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);
