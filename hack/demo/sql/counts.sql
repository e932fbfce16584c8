-- SPDX-License-Identifier: Apache-2.0
--
-- What psql sees: for each table its rows, and those past their period as PostgreSQL itself reckons it, now. The
-- fingerprint covers every value of the rows that are to stay as they are.
SELECT 'devices' AS dataset, count(*) AS records, count(*) FILTER (WHERE due) AS past_period,
       sum(hashtextextended(t::text, 0)) FILTER (WHERE NOT due) AS fingerprint
FROM (SELECT d.*, coalesce(a.contract_ended_at + interval '30 days' <= now(), false) AS due
      FROM devices d JOIN accounts a ON a.id = d.account_id) t
UNION ALL
SELECT 'accounts', count(*), count(*) FILTER (WHERE due), sum(hashtextextended(t::text, 0)) FILTER (WHERE NOT due)
FROM (SELECT *, coalesce(contract_ended_at + interval '30 days' <= now(), false) AS due FROM accounts) t
UNION ALL
SELECT 'device_events', count(*), count(*) FILTER (WHERE due), sum(hashtextextended(t::text, 0)) FILTER (WHERE NOT due)
FROM (SELECT *, recorded_at + interval '90 days' <= now() AS due FROM device_events) t
UNION ALL
SELECT 'cookie_consent', count(*), count(*) FILTER (WHERE due), sum(hashtextextended(t::text, 0)) FILTER (WHERE NOT due)
FROM (SELECT *, coalesce(isfinite(given_at) AND given_at > '1970-01-02' AND given_at <= now() - interval '11 months', false) AS due
      FROM cookie_consent) t
UNION ALL
SELECT 'invoices', count(*), count(*) FILTER (WHERE due), sum(hashtextextended(t::text, 0)) FILTER (WHERE NOT due)
FROM (SELECT *, invoice_date + interval '7 years' <= now() AS due FROM invoices) t
UNION ALL
-- Here rows stay, and addresses lose what points to a person: the last 8 bits of IPv4, the last 80 bits of IPv6.
SELECT 'access_log', count(*), count(*) FILTER (WHERE due AND host(ip) <> shortened),
       sum(hashtextextended(row (id, at, path, status, CASE WHEN due THEN shortened ELSE host(ip) END)::text, 0))
FROM (SELECT *, at + interval '30 days' <= now() AS due,
             host(set_masklen(ip, CASE family(ip) WHEN 4 THEN 24 ELSE 48 END)::cidr) AS shortened
      FROM access_log) t;
