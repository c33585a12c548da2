-- +goose Up
-- The check on reserved_cents is the invariant of the sample: no program, however wrong, can reserve more than the limit.
CREATE TABLE IF NOT EXISTS customers (
    customer_id    varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    name           varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    limit_cents    bigint NOT NULL,
    reserved_cents bigint NOT NULL DEFAULT 0,
    CHECK (reserved_cents >= 0 AND reserved_cents <= limit_cents)
) ENGINE = InnoDB;

-- One row for each order that was heard of.
CREATE TABLE IF NOT EXISTS reservations (
    order_id     varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    customer_id  varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    amount_cents bigint NOT NULL,
    state        varchar(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL CHECK (state IN ('RESERVED', 'REFUSED', 'RELEASED'))
) ENGINE = InnoDB;
