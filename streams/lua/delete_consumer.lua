-- Deletes a consumer on which nothing is pending.
--
-- KEYS[1] event stream
-- ARGV[1] group  ARGV[2] consumer
--
-- Reply: 1 if nothing was pending, 0 if the consumer was kept
-- Raises NOGROUP.

if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
