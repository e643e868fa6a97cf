-- Customers and products may land after the first orders that name them, so the joins keep every order.
select
    o.order_id,
    o.ts,
    o.quantity,
    o.amount,
    o.currency,
    o.customer_id,
    c.name as customer_name,
    coalesce(o.country, c.country) as country,
    o.product_id,
    p.title as product_title,
    p.category
from shop.orders o
left join shop.customers c on c.customer_id = o.customer_id
left join shop.products p on p.product_id = o.product_id
