-- +goose Up
-- The check on reserved_cents is the invariant of the sample: no program, however wrong, can reserve more than the limit.
CREATE TABLE IF NOT EXISTS customers (
    customer_id    text COLLATE "C" NOT NULL PRIMARY KEY,
    name           text   NOT NULL,
    limit_cents    bigint NOT NULL,
    reserved_cents bigint NOT NULL DEFAULT 0,
    CHECK (reserved_cents >= 0 AND reserved_cents <= limit_cents)
);

-- One row for each order that was heard of.
CREATE TABLE IF NOT EXISTS reservations (
    order_id     text COLLATE "C" NOT NULL PRIMARY KEY,
    customer_id  text COLLATE "C" NOT NULL,
    amount_cents bigint NOT NULL,
    state        text   NOT NULL CHECK (state IN ('RESERVED', 'REFUSED', 'RELEASED'))
);
