-- SPDX-License-Identifier: Apache-2.0
--
-- What the purge may do, and no more. The role retention logs in; it can read and delete what the policies delete, and
-- change one column of one table. It cannot insert, and cannot change anything else.

GRANT SELECT, DELETE ON accounts, devices, cookie_consent, invoices TO retention;
GRANT SELECT, UPDATE (ip) ON access_log TO retention;

-- PostgreSQL lets only the owner drop a partition. So the events have an owner of their own, which cannot log in and
-- owns nothing else, and retention is a member of it.
GRANT telemetry_owner TO retention;
SELECT format('ALTER TABLE %s OWNER TO telemetry_owner', relid) FROM pg_partition_tree('device_events') \gexec
