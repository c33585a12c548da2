-- +goose Up

-- What a relay remembers while it reads the binary log, and where rows are to be
-- read from. One row, which is there from the beginning: an operator may ask
-- before there is a relay. It is apart from the lease, whose row is renewed often
-- and should stay small.
CREATE TABLE IF NOT EXISTS tidings_relay_log (
    one          TINYINT NOT NULL DEFAULT 1 PRIMARY KEY,
    reading      VARCHAR(5) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'table',
    asked        VARCHAR(5) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    position     MEDIUMTEXT NULL,
    aside        MEDIUMBLOB NULL,
    published    MEDIUMBLOB NULL,
    tableless_at DATETIME(6) NULL,
    saved_at     DATETIME(6) NULL,
    CONSTRAINT tidings_relay_log_one CHECK (one = 1),
    CONSTRAINT tidings_relay_log_reading CHECK (reading IN ('table', 'log')),
    CONSTRAINT tidings_relay_log_asked CHECK (asked IN ('', 'table', 'log'))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO tidings_relay_log (one) VALUES (1);

-- The server commits with each statement here, so each can be run again where a
-- migration was cut off. MySQL has no ADD COLUMN IF NOT EXISTS.
SET @tidings_sql = IF(EXISTS (SELECT 1 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'tidings_relay_plan' AND column_name = 'aside'),
    'DO 0', 'ALTER TABLE tidings_relay_plan ADD COLUMN aside TINYINT NOT NULL DEFAULT 0');
PREPARE tidings_statement FROM @tidings_sql;
EXECUTE tidings_statement;
DEALLOCATE PREPARE tidings_statement;

-- The order in which rows were set aside. Those that are there have it by position.
SET @tidings_sql = IF(EXISTS (SELECT 1 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'tidings_outbox_aside' AND column_name = 'set_aside'),
    'DO 0', 'ALTER TABLE tidings_outbox_aside ADD COLUMN set_aside BIGINT NOT NULL AUTO_INCREMENT, ADD UNIQUE KEY tidings_outbox_aside_order (set_aside)');
PREPARE tidings_statement FROM @tidings_sql;
EXECUTE tidings_statement;
DEALLOCATE PREPARE tidings_statement;

-- Where messages go that are read from the log alone. BLACKHOLE writes them to
-- the log and nowhere else. A server without that engine takes InnoDB: whoever
-- inserts a row there deletes it in the same transaction.
SET @tidings_mode = @@SESSION.sql_mode;
SET @tidings_engine = @@SESSION.default_storage_engine;
SET SESSION sql_mode = REPLACE(@@SESSION.sql_mode, 'NO_ENGINE_SUBSTITUTION', '');
SET SESSION default_storage_engine = InnoDB;
CREATE TABLE IF NOT EXISTS tidings_outbox_log (
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
) ENGINE = BLACKHOLE DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
SET SESSION default_storage_engine = @tidings_engine;
SET SESSION sql_mode = @tidings_mode;

-- +goose Down
DROP TABLE tidings_outbox_log;
ALTER TABLE tidings_outbox_aside DROP COLUMN set_aside;
ALTER TABLE tidings_relay_plan DROP COLUMN aside;
DROP TABLE tidings_relay_log;
