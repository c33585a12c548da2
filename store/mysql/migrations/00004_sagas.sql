-- +goose Up

-- Sagas. request is what an operator asks for, until the saga's service has done it.
CREATE TABLE IF NOT EXISTS tidings_saga (
    saga_type   VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    id          VARBINARY(255) NOT NULL,
    version     BIGINT NOT NULL,
    state       VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    step        VARCHAR(200) NOT NULL,
    error       TEXT NOT NULL,
    fingerprint VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    data        LONGTEXT NOT NULL,
    instance    LONGTEXT NOT NULL,
    request     MEDIUMTEXT NULL,
    wake_at     DATETIME(6) NULL,
    started_at  DATETIME(6) NOT NULL,
    changed_at  DATETIME(6) NOT NULL,
    ended_at    DATETIME(6) NULL,
    PRIMARY KEY (saga_type, id),
    KEY tidings_saga_wake (wake_at),
    KEY tidings_saga_open (ended_at, saga_type, fingerprint, id),
    KEY tidings_saga_changed (state, changed_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS tidings_saga_journal (
    saga_type    VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    saga_id      VARBINARY(255) NOT NULL,
    number       INT NOT NULL,
    at           DATETIME(6) NOT NULL,
    what         VARCHAR(100) NOT NULL,
    step         VARCHAR(200) NOT NULL,
    `undo`       TINYINT NOT NULL,
    attempt      INT NOT NULL,
    message_id   VARCHAR(255) NOT NULL,
    message_type VARCHAR(255) NOT NULL,
    text         TEXT NOT NULL,
    PRIMARY KEY (saga_type, saga_id, number)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Definitions that services have run, as JSON.
CREATE TABLE IF NOT EXISTS tidings_saga_plan (
    saga_type   VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    fingerprint VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    plan        LONGTEXT NOT NULL,
    seen_at     DATETIME(6) NOT NULL,
    PRIMARY KEY (saga_type, fingerprint)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Delayed messages, whole. The primary key is what they are removed by, so that
-- those who take and those who cancel lock rows in the same order.
CREATE TABLE IF NOT EXISTS tidings_timer (
    position     BIGINT NOT NULL AUTO_INCREMENT,
    due_at       DATETIME(6) NOT NULL,
    source       VARBINARY(200) NOT NULL,
    channel      VARBINARY(200) NOT NULL,
    message_id   VARBINARY(255) NOT NULL PRIMARY KEY,
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
    KEY tidings_timer_position (position),
    KEY tidings_timer_due (due_at, position)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What participants have locked for sagas. A row without an owner is free: it is
-- there for transactions to lock, and is removed some time later.
CREATE TABLE IF NOT EXISTS tidings_command_lock (
    participant VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    target      VARBINARY(255) NOT NULL,
    saga_type   VARBINARY(255) NOT NULL,
    saga_id     VARBINARY(255) NOT NULL,
    since       DATETIME(6) NOT NULL,
    PRIMARY KEY (participant, target),
    KEY tidings_command_lock_owner (participant, saga_type, saga_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Commands that wait for a target, whole.
CREATE TABLE IF NOT EXISTS tidings_command_aside (
    id           BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    participant  VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    target       VARBINARY(255) NOT NULL,
    at           DATETIME(6) NOT NULL,
    source       VARBINARY(200) NOT NULL,
    channel      VARBINARY(200) NOT NULL,
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
    KEY tidings_command_aside_target (participant, target, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Answers to commands that may be repeated, whole.
CREATE TABLE IF NOT EXISTS tidings_command_answer (
    participant  VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    command_id   VARBINARY(255) NOT NULL,
    at           DATETIME(6) NOT NULL,
    source       VARBINARY(200) NOT NULL,
    channel      VARBINARY(200) NOT NULL,
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
    PRIMARY KEY (participant, command_id),
    KEY tidings_command_answer_age (participant, at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Replies that somebody waits for, whole.
CREATE TABLE IF NOT EXISTS tidings_reply (
    command_id   VARBINARY(255) NOT NULL PRIMARY KEY,
    at           DATETIME(6) NOT NULL,
    source       VARBINARY(200) NOT NULL,
    channel      VARBINARY(200) NOT NULL,
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
    KEY tidings_reply_age (at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE tidings_reply;
DROP TABLE tidings_command_answer;
DROP TABLE tidings_command_aside;
DROP TABLE tidings_command_lock;
DROP TABLE tidings_timer;
DROP TABLE tidings_saga_plan;
DROP TABLE tidings_saga_journal;
DROP TABLE tidings_saga;
