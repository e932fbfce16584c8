-- SPDX-License-Identifier: Apache-2.0
--
-- Roles belong to the server, not to a database. The password comes on standard input, as :password.

SELECT format('CREATE ROLE %s', role)
FROM (VALUES ('telemetry_owner NOLOGIN'), ('retention LOGIN')) r (role)
WHERE split_part(role, ' ', 1) NOT IN (SELECT rolname FROM pg_roles) \gexec
