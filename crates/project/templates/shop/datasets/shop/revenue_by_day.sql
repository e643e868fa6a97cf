-- `ts_day` is the column that orders are split by: a new order of today computes today again and nothing else.
select
    ts_day as day,
    currency,
    count(*) as orders,
    sum(quantity) as items,
    sum(amount) as revenue
from shop.orders
group by ts_day, currency
