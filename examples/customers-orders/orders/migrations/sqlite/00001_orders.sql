-- +goose Up
CREATE TABLE IF NOT EXISTS orders (
    order_id    TEXT    NOT NULL PRIMARY KEY,
    customer_id TEXT    NOT NULL,
    total_cents INTEGER NOT NULL CHECK (total_cents > 0),
    state       TEXT    NOT NULL CHECK (state IN ('PENDING', 'APPROVED', 'CANCELLED')),
    reason      TEXT    NOT NULL DEFAULT '',
    CHECK ((state = 'CANCELLED') = (reason <> ''))
) WITHOUT ROWID;
