-- SPDX-License-Identifier: Apache-2.0
--
-- data.sql fills the tables. Everything follows from the row's number and from :'day', the day of the demo (UTC): the same
-- day gives the same rows, and every day gives the same numbers of expired rows. Around the ends of the periods a few
-- days stay empty, so that neither the hour nor the length of a month moves a row across.

-- dice returns a number from 0 to below sides that looks random and is the same every time.
CREATE FUNCTION pg_temp.dice(n bigint, salt bigint, sides bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE AS
$$ SELECT (hashint8extended(n, salt) & 9223372036854775807) % sides $$;

-- pick returns an instant from begins to below ends.
CREATE FUNCTION pg_temp.pick(n bigint, salt bigint, begins timestamptz, ends timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE AS
$$ SELECT begins + (ends - begins) * (pg_temp.dice(n, salt, 1000000000) / 1e9) $$;

SET timezone = 'UTC';
SELECT :'day'::timestamptz AS today \gset

-- 20,000 accounts: 1,800 contracts ended more than 30 days ago, 500 more lately, 300 will end, the others run.
INSERT INTO accounts
SELECT n, 'customer' || n || '@example.com', 'Customer ' || n, pg_temp.pick(n, 1, today - interval '6 years', today - interval '4 years'),
       CASE WHEN kind < 1800 THEN pg_temp.pick(n, 2, today - interval '3 years', today - interval '30 days')
            WHEN kind < 2300 THEN pg_temp.pick(n, 2, today - interval '27 days', today)
            WHEN kind < 2600 THEN pg_temp.pick(n, 2, today + interval '3 days', today + interval '1 year')
       END
FROM (SELECT n, n * 7919 % 20000 AS kind, :'today'::timestamptz AS today FROM generate_series(1, 20000) n) t;

-- Two devices each.
INSERT INTO devices
SELECT n, (n - 1) % 20000 + 1, 'SN-' || md5(n::text), (ARRAY ['thermostat', 'camera', 'doorbell', 'meter'])[1 + pg_temp.dice(n, 3, 4)]
FROM generate_series(1, 40000) n;

-- 1,200,000 events of three years, the newest 100,000 within the last 87 days.
SELECT format('CREATE TABLE device_events_%s PARTITION OF device_events FOR VALUES FROM (%L) TO (%L)', to_char(month, 'YYYY_MM'),
              month, month + interval '1 month')
FROM generate_series(date_trunc('month', :'today'::timestamptz - interval '3 years'), :'today'::timestamptz + interval '1 month', '1 month') month
\gexec
INSERT INTO device_events
SELECT n, pg_temp.dice(n, 4, 40000) + 1,
       CASE WHEN n <= 1100000 THEN today - interval '3 years' + (today - interval '90 days' - (today - interval '3 years')) * (n / 1100001.0)
            ELSE today - interval '87 days' + interval '87 days' * ((n - 1100000) / 100001.0)
       END,
       (ARRAY ['temperature', 'motion', 'power'])[1 + pg_temp.dice(n, 5, 3)], pg_temp.dice(n, 6, 10000) / 100.0
FROM (SELECT n, :'today'::timestamptz AS today FROM generate_series(1, 1200000) n) t;
CREATE INDEX ON device_events (recorded_at);

-- 60,000 consents, 24,000 of them older than eleven months. And 80 that nobody can date.
INSERT INTO cookie_consent
SELECT n, md5('visitor' || n)::uuid, (ARRAY ['statistics', 'marketing'])[1 + pg_temp.dice(n, 7, 2)],
       CASE WHEN n <= 24000 THEN pg_temp.pick(n, 8, today - interval '2 years', today - interval '11 months 4 days')
            WHEN n <= 60000 THEN pg_temp.pick(n, 8, today - interval '10 months 20 days', today)
            WHEN n <= 60025 THEN NULL
            WHEN n <= 60065 THEN '1970-01-01 00:00:00+00'::timestamptz
            WHEN n <= 60075 THEN '9999-12-31 23:59:59+00'::timestamptz
            ELSE 'infinity'::timestamptz
       END
FROM (SELECT n, :'today'::timestamptz AS today FROM generate_series(1, 60080) n) t;

-- 250,000 requests of half a year, 200,000 of them older than 30 days, and 2,000 of those without an address.
-- One address in five is of IPv6.
INSERT INTO access_log
SELECT n,
       CASE WHEN n <= 200000 THEN pg_temp.pick(n, 9, today - interval '180 days', today - interval '30 days')
            ELSE pg_temp.pick(n, 9, today - interval '27 days', today)
       END,
       CASE WHEN n % 100 = 50 THEN NULL
            WHEN n % 5 = 0 THEN ('2001:db8:' || to_hex(pg_temp.dice(n, 10, 65535)) || ':' || to_hex(pg_temp.dice(n, 11, 65535)) || '::' || to_hex(1 + pg_temp.dice(n, 12, 65535)))::inet
            ELSE ('198.18.' || pg_temp.dice(n, 10, 256) || '.' || 1 + pg_temp.dice(n, 11, 254))::inet
       END,
       (ARRAY ['/', '/cart', '/login', '/search'])[1 + pg_temp.dice(n, 13, 4)], (ARRAY [200, 200, 200, 302, 404])[1 + pg_temp.dice(n, 14, 5)]
FROM (SELECT n, :'today'::timestamptz AS today FROM generate_series(1, 250000) n) t;

-- 120,000 invoices of nine years: 26,000 older than seven years, 60,000 between three and seven, 34,000 younger.
INSERT INTO invoices
SELECT n, pg_temp.dice(n, 15, 20000) + 1, 'Customer ' || pg_temp.dice(n, 15, 20000) + 1 || ', 1 Main Street',
       CASE WHEN n <= 26000 THEN pg_temp.pick(n, 16, today - interval '9 years', today - interval '7 years 4 days')
            WHEN n <= 86000 THEN pg_temp.pick(n, 16, today - interval '7 years' + interval '4 days', today - interval '3 years 4 days')
            ELSE pg_temp.pick(n, 16, today - interval '3 years' + interval '4 days', today)
       END,
       pg_temp.dice(n, 17, 50000) / 100.0
FROM (SELECT n, :'today'::timestamptz AS today FROM generate_series(1, 120000) n) t;
