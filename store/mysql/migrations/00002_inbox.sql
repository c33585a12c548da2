-- +goose Up

-- One row for each lane of each subscriber takes the place of remembering every
-- message. What is looked up by value is VARBINARY: MySQL compares text as if
-- it had no spaces at its end.
CREATE TABLE IF NOT EXISTS tidings_inbox_lane (
    subscriber VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    source     VARBINARY(200) NOT NULL,
    epoch      VARBINARY(255) NOT NULL,
    channel    VARBINARY(200) NOT NULL,
    lane       INT NOT NULL,
    last       BIGINT NOT NULL DEFAULT 0,
    holes      MEDIUMBLOB NULL,
    gaps       BIGINT NOT NULL DEFAULT 0,
    late       BIGINT NOT NULL DEFAULT 0,
    handled_at DATETIME(6) NULL,
    PRIMARY KEY (subscriber, source, epoch, channel, lane)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Messages without a lane, by id.
CREATE TABLE IF NOT EXISTS tidings_inbox_seen (
    subscriber VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    source     VARBINARY(200) NOT NULL,
    id         VARBINARY(255) NOT NULL,
    seen_at    DATETIME(6) NOT NULL,
    PRIMARY KEY (subscriber, source, id),
    KEY tidings_inbox_seen_age (subscriber, seen_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Rows to lock in place of ids and keys that have no row of their own yet.
CREATE TABLE IF NOT EXISTS tidings_inbox_slot (
    slot INT NOT NULL PRIMARY KEY
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO tidings_inbox_slot (slot)
WITH digits AS (SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5
    UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)
SELECT a.d + 10 * b.d + 100 * c.d FROM digits a, digits b, digits c;

-- Keys behind a parked message.
CREATE TABLE IF NOT EXISTS tidings_inbox_held (
    subscriber  VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    source      VARBINARY(200) NOT NULL,
    channel     VARBINARY(200) NOT NULL,
    message_key VARBINARY(255) NOT NULL,
    since       DATETIME(6) NOT NULL,
    retry_asked TINYINT NOT NULL DEFAULT 0,
    PRIMARY KEY (subscriber, source, channel, message_key),
    KEY tidings_inbox_held_retry (subscriber, retry_asked, since)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Parked messages, whole. held_key is the key that they are held under: the
-- message's key, or its id where it has none.
CREATE TABLE IF NOT EXISTS tidings_inbox_parked (
    id           BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    subscriber   VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    source       VARBINARY(200) NOT NULL,
    channel      VARBINARY(200) NOT NULL,
    held_key     VARBINARY(255) NOT NULL,
    message_id   VARCHAR(255) NOT NULL,
    message_key  VARCHAR(255) NOT NULL,
    type         VARCHAR(255) NOT NULL,
    subject      VARCHAR(255) NOT NULL,
    content_type VARCHAR(255) NOT NULL,
    headers      MEDIUMTEXT NULL,
    payload      LONGBLOB NOT NULL,
    created_at   DATETIME(6) NULL,
    epoch        VARBINARY(255) NOT NULL,
    lane         INT NOT NULL,
    sequence     BIGINT NOT NULL,
    reason       TEXT NOT NULL,
    attempts     INT NOT NULL,
    parked_at    DATETIME(6) NOT NULL,
    KEY tidings_inbox_parked_key (subscriber, source, channel, held_key, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE tidings_inbox_parked;
DROP TABLE tidings_inbox_held;
DROP TABLE tidings_inbox_slot;
DROP TABLE tidings_inbox_seen;
DROP TABLE tidings_inbox_lane;
