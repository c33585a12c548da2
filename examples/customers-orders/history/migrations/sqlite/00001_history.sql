-- +goose Up
CREATE TABLE IF NOT EXISTS history_customers (
    customer_id TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,
    limit_cents INTEGER NOT NULL
) WITHOUT ROWID;

-- progress is the place of the state in an order's life; it never goes down.
CREATE TABLE IF NOT EXISTS history_orders (
    order_id    TEXT    NOT NULL PRIMARY KEY,
    customer_id TEXT    NOT NULL,
    total_cents INTEGER NOT NULL,
    state       TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    progress    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS history_orders_of_customer ON history_orders (customer_id, order_id);
