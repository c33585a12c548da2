-- +goose Up
CREATE TABLE IF NOT EXISTS orders (
    order_id    varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    customer_id varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    total_cents bigint      NOT NULL CHECK (total_cents > 0),
    state       varchar(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL CHECK (state IN ('PENDING', 'APPROVED', 'CANCELLED')),
    reason      varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    CHECK ((state = 'CANCELLED') = (reason <> ''))
) ENGINE = InnoDB;
