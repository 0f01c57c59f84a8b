-- How much of its quota a caller has used: the uploads that are there, and those that come in.

CREATE INDEX upload_by_principal ON upload (principal, id, size);

-- Room that is kept for an upload until its rows are there. One that broke off with its host gives
-- its room back when this expires.
CREATE TABLE upload_room (
  id         BIGINT PRIMARY KEY,
  principal  TEXT NOT NULL,
  files      BIGINT NOT NULL,
  bytes      BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);

CREATE INDEX upload_room_by_principal ON upload_room (principal);
CREATE INDEX upload_room_by_expiry ON upload_room (expires_at);
