select
    v.day,
    v.sessions,
    coalesce(o.orders, 0) as orders,
    cast(coalesce(o.orders, 0) as double) / v.sessions as conversion
from (
    select ts_day as day, count(distinct session_id) as sessions
    from shop.page_views
    group by ts_day
) v
left join (
    select ts_day as day, count(*) as orders
    from shop.orders
    group by ts_day
) o on o.day = v.day
