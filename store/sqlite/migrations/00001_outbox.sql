-- +goose Up

-- What services append. Positions are never used twice (AUTOINCREMENT); a NULL
-- id or time gets its default, as one that is left out does. Writers bring their own
-- SQLite, which may be old: unixepoch('subsec') needs 3.42, and is NULL before.
CREATE TABLE IF NOT EXISTS tidings_outbox (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL ON CONFLICT REPLACE DEFAULT (
        lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
            substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    channel      TEXT NOT NULL,
    message_key  TEXT,
    type         TEXT NOT NULL,
    subject      TEXT,
    content_type TEXT,
    headers      TEXT,
    payload      BLOB NOT NULL,
    created_at   INTEGER NOT NULL ON CONFLICT REPLACE DEFAULT (
        (CAST(strftime('%s', 'now') AS INTEGER) * 1000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER)) * 1000)
);

-- Rows that the relay could not publish, and those that wait behind them.
CREATE TABLE IF NOT EXISTS tidings_outbox_aside (
    position     INTEGER PRIMARY KEY,
    id           TEXT,
    channel      TEXT,
    message_key  TEXT,
    type         TEXT,
    subject      TEXT,
    content_type TEXT,
    headers      TEXT,
    payload      BLOB,
    created_at   INTEGER,
    reason       TEXT NOT NULL,
    aside_at     INTEGER NOT NULL,
    retry_asked  INTEGER NOT NULL DEFAULT 0
);

-- The lease, and the epoch of numbering. One row.
CREATE TABLE IF NOT EXISTS tidings_relay (
    source     TEXT PRIMARY KEY,
    holder     TEXT NOT NULL DEFAULT '',
    fence      INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER NOT NULL DEFAULT 0,
    epoch      TEXT NOT NULL DEFAULT '',
    lanes      INTEGER NOT NULL DEFAULT 0,
    identity   TEXT NOT NULL DEFAULT ''
);

CREATE TABLE IF NOT EXISTS tidings_relay_counters (
    source   TEXT NOT NULL,
    channel  TEXT NOT NULL,
    counters BLOB NOT NULL,
    PRIMARY KEY (source, channel)
);

CREATE TABLE IF NOT EXISTS tidings_relay_plan (
    source    TEXT NOT NULL,
    id        INTEGER NOT NULL,
    positions BLOB NOT NULL,
    PRIMARY KEY (source, id)
);

CREATE TABLE IF NOT EXISTS tidings_relay_epoch (
    source    TEXT NOT NULL,
    epoch     TEXT NOT NULL,
    lanes     INTEGER NOT NULL,
    identity  TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    PRIMARY KEY (source, epoch)
);

CREATE TABLE IF NOT EXISTS tidings_audit (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
);

-- +goose Down
DROP TABLE tidings_audit;
DROP TABLE tidings_relay_epoch;
DROP TABLE tidings_relay_plan;
DROP TABLE tidings_relay_counters;
DROP TABLE tidings_relay;
DROP TABLE tidings_outbox_aside;
DROP TABLE tidings_outbox;
