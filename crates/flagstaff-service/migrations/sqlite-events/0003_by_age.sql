-- What is forgotten by its age is found by it, however much is kept.
CREATE INDEX custom_count_by_minute ON custom_count (minute);
CREATE INDEX anonymous_context_by_day ON anonymous_context (last_seen_day);
CREATE INDEX sdk_instance_by_last_seen ON sdk_instance (last_seen);
