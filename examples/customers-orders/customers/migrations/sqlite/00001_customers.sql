-- +goose Up
-- The check on reserved_cents is the invariant of the sample: no program, however wrong, can reserve more than the limit.
CREATE TABLE IF NOT EXISTS customers (
    customer_id    TEXT    NOT NULL PRIMARY KEY,
    name           TEXT    NOT NULL,
    limit_cents    INTEGER NOT NULL,
    reserved_cents INTEGER NOT NULL DEFAULT 0,
    CHECK (reserved_cents >= 0 AND reserved_cents <= limit_cents)
) WITHOUT ROWID;

-- One row for each order that was heard of.
CREATE TABLE IF NOT EXISTS reservations (
    order_id     TEXT    NOT NULL PRIMARY KEY,
    customer_id  TEXT    NOT NULL,
    amount_cents INTEGER NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('RESERVED', 'REFUSED', 'RELEASED'))
) WITHOUT ROWID;
