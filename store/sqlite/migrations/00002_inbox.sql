-- +goose Up

-- One row for each lane of each subscriber takes the place of remembering every message.
CREATE TABLE IF NOT EXISTS tidings_inbox_lane (
    subscriber TEXT NOT NULL,
    source     TEXT NOT NULL,
    epoch      TEXT NOT NULL,
    channel    TEXT NOT NULL,
    lane       INTEGER NOT NULL,
    last       INTEGER NOT NULL DEFAULT 0,
    holes      BLOB,
    gaps       INTEGER NOT NULL DEFAULT 0,
    late       INTEGER NOT NULL DEFAULT 0,
    handled_at INTEGER,
    PRIMARY KEY (subscriber, source, epoch, channel, lane)
) WITHOUT ROWID;

-- Messages without a lane, by id.
CREATE TABLE IF NOT EXISTS tidings_inbox_seen (
    subscriber TEXT NOT NULL,
    source     TEXT NOT NULL,
    id         TEXT NOT NULL,
    seen_at    INTEGER NOT NULL,
    PRIMARY KEY (subscriber, source, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tidings_inbox_seen_age ON tidings_inbox_seen (subscriber, seen_at);

-- Keys behind a parked message.
CREATE TABLE IF NOT EXISTS tidings_inbox_held (
    subscriber  TEXT NOT NULL,
    source      TEXT NOT NULL,
    channel     TEXT NOT NULL,
    message_key TEXT NOT NULL,
    since       INTEGER NOT NULL,
    retry_asked INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (subscriber, source, channel, message_key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tidings_inbox_held_retry ON tidings_inbox_held (subscriber, since) WHERE retry_asked <> 0;

-- Parked messages, whole. held_key is the key that they are held under: the
-- message's key, or its id where it has none.
CREATE TABLE IF NOT EXISTS tidings_inbox_parked (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    subscriber   TEXT NOT NULL,
    source       TEXT NOT NULL,
    channel      TEXT NOT NULL,
    held_key     TEXT NOT NULL,
    message_id   TEXT NOT NULL,
    message_key  TEXT NOT NULL,
    type         TEXT NOT NULL,
    subject      TEXT NOT NULL,
    content_type TEXT NOT NULL,
    headers      TEXT,
    payload      BLOB NOT NULL,
    created_at   INTEGER,
    epoch        TEXT NOT NULL,
    lane         INTEGER NOT NULL,
    sequence     INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    attempts     INTEGER NOT NULL,
    parked_at    INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS tidings_inbox_parked_key ON tidings_inbox_parked (subscriber, source, channel, held_key, id);

-- +goose Down
DROP TABLE tidings_inbox_parked;
DROP TABLE tidings_inbox_held;
DROP TABLE tidings_inbox_seen;
DROP TABLE tidings_inbox_lane;
