-- +goose Up
CREATE TABLE IF NOT EXISTS orders (
    order_id    text COLLATE "C" NOT NULL PRIMARY KEY,
    customer_id text COLLATE "C" NOT NULL,
    total_cents bigint NOT NULL CHECK (total_cents > 0),
    state       text   NOT NULL CHECK (state IN ('PENDING', 'APPROVED', 'CANCELLED')),
    reason      text   NOT NULL DEFAULT '',
    CHECK ((state = 'CANCELLED') = (reason <> ''))
);
