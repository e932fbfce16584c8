-- SPDX-License-Identifier: Apache-2.0
--
-- What psql sees of the customer :id, who has the devices :id and :id + 20000: for each table their records, and a
-- fingerprint of everybody else's.
SELECT 'accounts' AS dataset, count(*) FILTER (WHERE theirs) AS theirs, sum(hashtextextended(t::text, 0)) FILTER (WHERE NOT theirs) AS fingerprint
FROM (SELECT *, id = :id AS theirs FROM accounts) t
UNION ALL
SELECT 'devices', count(*) FILTER (WHERE theirs), sum(hashtextextended(t::text, 0)) FILTER (WHERE NOT theirs)
FROM (SELECT *, account_id = :id AS theirs FROM devices) t
UNION ALL
SELECT 'device_events', count(*) FILTER (WHERE theirs), sum(hashtextextended(t::text, 0)) FILTER (WHERE NOT theirs)
FROM (SELECT *, device_id IN (:id, :id + 20000) AS theirs FROM device_events) t
UNION ALL
SELECT 'invoices', count(*) FILTER (WHERE theirs), sum(hashtextextended(t::text, 0)) FILTER (WHERE NOT theirs)
FROM (SELECT *, account_id = :id AS theirs FROM invoices) t;
