-- +goose Up

-- What services append. Whatever has a default may be left out.
CREATE TABLE IF NOT EXISTS tidings_outbox (
    position     BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    id           VARCHAR(255) NOT NULL DEFAULT (UUID()),
    channel      VARCHAR(255) NOT NULL,
    message_key  VARCHAR(255) NULL,
    type         VARCHAR(255) NOT NULL,
    subject      VARCHAR(255) NULL,
    content_type VARCHAR(255) NULL,
    headers      MEDIUMTEXT NULL,
    payload      LONGBLOB NOT NULL,
    created_at   DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Rows that the relay could not publish, and those that wait behind them.
CREATE TABLE IF NOT EXISTS tidings_outbox_aside (
    position     BIGINT NOT NULL PRIMARY KEY,
    id           VARCHAR(255) NULL,
    channel      VARCHAR(255) NULL,
    message_key  VARCHAR(255) NULL,
    type         VARCHAR(255) NULL,
    subject      VARCHAR(255) NULL,
    content_type VARCHAR(255) NULL,
    headers      MEDIUMTEXT NULL,
    payload      LONGBLOB NULL,
    created_at   DATETIME(6) NULL,
    reason       TEXT NOT NULL,
    aside_at     DATETIME(6) NOT NULL,
    retry_asked  TINYINT NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The lease, and the epoch of numbering. The unique column allows for one row.
CREATE TABLE IF NOT EXISTS tidings_relay (
    source     VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    holder     VARCHAR(255) NOT NULL DEFAULT '',
    fence      BIGINT NOT NULL DEFAULT 0,
    expires_at DATETIME(6) NULL,
    epoch      VARCHAR(255) NOT NULL DEFAULT '',
    lanes      INT NOT NULL DEFAULT 0,
    identity   VARCHAR(500) NOT NULL DEFAULT '',
    only_one   TINYINT NOT NULL DEFAULT 1 UNIQUE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS tidings_relay_counters (
    source   VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    channel  VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    counters MEDIUMBLOB NOT NULL,
    PRIMARY KEY (source, channel)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS tidings_relay_plan (
    source    VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    id        BIGINT NOT NULL,
    positions MEDIUMBLOB NOT NULL,
    PRIMARY KEY (source, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS tidings_relay_epoch (
    source    VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    epoch     VARCHAR(255) NOT NULL,
    lanes     INT NOT NULL,
    identity  VARCHAR(500) NOT NULL,
    opened_at DATETIME(6) NOT NULL,
    reason    TEXT NOT NULL,
    PRIMARY KEY (source, epoch)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS tidings_audit (
    id     BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    at     DATETIME(6) NOT NULL,
    actor  VARCHAR(255) NOT NULL,
    action VARCHAR(255) NOT NULL,
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail LONGTEXT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE tidings_audit;
DROP TABLE tidings_relay_epoch;
DROP TABLE tidings_relay_plan;
DROP TABLE tidings_relay_counters;
DROP TABLE tidings_relay;
DROP TABLE tidings_outbox_aside;
DROP TABLE tidings_outbox;
