-- +goose Up
CREATE TABLE IF NOT EXISTS consumers (
    consumer_id TEXT    NOT NULL PRIMARY KEY,
    first_name  TEXT    NOT NULL,
    last_name   TEXT    NOT NULL,
    limit_cents INTEGER NOT NULL CHECK (limit_cents > 0)
) WITHOUT ROWID;
