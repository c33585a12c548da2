-- +goose Up

-- Sagas. request is what an operator asks for, until the saga's service has done it.
CREATE TABLE IF NOT EXISTS tidings_saga (
    saga_type   TEXT NOT NULL,
    id          TEXT NOT NULL,
    version     INTEGER NOT NULL,
    state       TEXT NOT NULL,
    step        TEXT NOT NULL,
    error       TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    data        TEXT NOT NULL,
    instance    TEXT NOT NULL,
    request     TEXT,
    wake_at     INTEGER,
    started_at  INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    PRIMARY KEY (saga_type, id)
);
CREATE INDEX IF NOT EXISTS tidings_saga_wake ON tidings_saga (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS tidings_saga_open ON tidings_saga (saga_type, fingerprint, id) WHERE ended_at IS NULL;
-- For lists, and for counting without reading the rows.
CREATE INDEX IF NOT EXISTS tidings_saga_changed ON tidings_saga (state, changed_at, saga_type);

CREATE TABLE IF NOT EXISTS tidings_saga_journal (
    saga_type    TEXT NOT NULL,
    saga_id      TEXT NOT NULL,
    number       INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    what         TEXT NOT NULL,
    step         TEXT NOT NULL,
    undo         INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    message_id   TEXT NOT NULL,
    message_type TEXT NOT NULL,
    text         TEXT NOT NULL,
    PRIMARY KEY (saga_type, saga_id, number)
) WITHOUT ROWID;

-- Definitions that services have run, as JSON.
CREATE TABLE IF NOT EXISTS tidings_saga_plan (
    saga_type   TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    plan        TEXT NOT NULL,
    seen_at     INTEGER NOT NULL,
    PRIMARY KEY (saga_type, fingerprint)
) WITHOUT ROWID;

-- Delayed messages, whole.
CREATE TABLE IF NOT EXISTS tidings_timer (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    due_at       INTEGER NOT NULL,
    source       TEXT NOT NULL,
    channel      TEXT NOT NULL,
    message_id   TEXT NOT NULL UNIQUE,
    message_key  TEXT NOT NULL,
    type         TEXT NOT NULL,
    subject      TEXT NOT NULL,
    content_type TEXT NOT NULL,
    headers      TEXT,
    payload      BLOB NOT NULL,
    created_at   INTEGER,
    epoch        TEXT NOT NULL,
    lane         INTEGER NOT NULL,
    sequence     INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS tidings_timer_due ON tidings_timer (due_at, position);

-- What participants have locked for sagas.
CREATE TABLE IF NOT EXISTS tidings_command_lock (
    participant TEXT NOT NULL,
    target      TEXT NOT NULL,
    saga_type   TEXT NOT NULL,
    saga_id     TEXT NOT NULL,
    since       INTEGER NOT NULL,
    PRIMARY KEY (participant, target)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tidings_command_lock_owner ON tidings_command_lock (participant, saga_type, saga_id);

-- Commands that wait for a target, whole.
CREATE TABLE IF NOT EXISTS tidings_command_aside (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    participant  TEXT NOT NULL,
    target       TEXT NOT NULL,
    at           INTEGER NOT NULL,
    source       TEXT NOT NULL,
    channel      TEXT NOT NULL,
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
    sequence     INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS tidings_command_aside_target ON tidings_command_aside (participant, target, id);

-- Answers to commands that may be repeated, whole.
CREATE TABLE IF NOT EXISTS tidings_command_answer (
    participant  TEXT NOT NULL,
    command_id   TEXT NOT NULL,
    at           INTEGER NOT NULL,
    source       TEXT NOT NULL,
    channel      TEXT NOT NULL,
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
    PRIMARY KEY (participant, command_id)
);
CREATE INDEX IF NOT EXISTS tidings_command_answer_age ON tidings_command_answer (participant, at);

-- Replies that somebody waits for, whole.
CREATE TABLE IF NOT EXISTS tidings_reply (
    command_id   TEXT NOT NULL PRIMARY KEY,
    at           INTEGER NOT NULL,
    source       TEXT NOT NULL,
    channel      TEXT NOT NULL,
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
    sequence     INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS tidings_reply_age ON tidings_reply (at);

-- +goose Down
DROP TABLE tidings_reply;
DROP TABLE tidings_command_answer;
DROP TABLE tidings_command_aside;
DROP TABLE tidings_command_lock;
DROP TABLE tidings_timer;
DROP TABLE tidings_saga_plan;
DROP TABLE tidings_saga_journal;
DROP TABLE tidings_saga;
