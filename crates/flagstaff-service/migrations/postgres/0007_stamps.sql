-- Tells a change from another one with the same number: in a database that lost changes and made others since.
ALTER TABLE change_log ADD COLUMN stamp BIGINT NOT NULL DEFAULT 0;
