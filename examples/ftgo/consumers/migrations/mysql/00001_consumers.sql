-- +goose Up
CREATE TABLE IF NOT EXISTS consumers (
    consumer_id varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    first_name  varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    last_name   varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    limit_cents bigint NOT NULL CHECK (limit_cents > 0)
) ENGINE = InnoDB;
