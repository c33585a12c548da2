-- +goose Up
-- An order is PENDING without a reason, VALIDATED with a total, or REJECTED with a reason.
CREATE TABLE IF NOT EXISTS orders (
    order_id      TEXT    NOT NULL PRIMARY KEY,
    consumer_id   TEXT    NOT NULL,
    restaurant_id TEXT    NOT NULL,
    line_items    TEXT    NOT NULL, -- JSON
    state         TEXT    NOT NULL,
    total_cents   INTEGER,
    reason        TEXT    NOT NULL DEFAULT '',
    idempotency_key TEXT UNIQUE, -- of the request, if it had one
    CHECK (state IN ('PENDING', 'VALIDATED', 'REJECTED') AND (state = 'REJECTED') = (reason <> '')),
    CHECK (state <> 'VALIDATED' OR total_cents IS NOT NULL)
) WITHOUT ROWID;
