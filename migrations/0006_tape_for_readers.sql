-- The tape holds what the market said and nothing of any tenant: whoever may read, may read it. Bars and depth of
-- markets whose lines come from outside are read from it.

GRANT SELECT ON tape TO blotter_reader;
