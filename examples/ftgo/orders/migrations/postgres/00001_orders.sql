-- +goose Up
-- An order is PENDING without a reason, VALIDATED with a total, or REJECTED with a reason.
CREATE TABLE IF NOT EXISTS orders (
    order_id      text COLLATE "C" NOT NULL PRIMARY KEY,
    consumer_id   text   NOT NULL,
    restaurant_id text   NOT NULL,
    line_items    text   NOT NULL, -- JSON
    state         text   NOT NULL,
    total_cents   bigint,
    reason        text   NOT NULL DEFAULT '',
    idempotency_key text COLLATE "C" UNIQUE, -- of the request, if it had one
    CHECK (state IN ('PENDING', 'VALIDATED', 'REJECTED') AND (state = 'REJECTED') = (reason <> '')),
    CHECK (state <> 'VALIDATED' OR total_cents IS NOT NULL)
);
