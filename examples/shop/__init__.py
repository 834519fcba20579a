"""An online store: a cart per cart id, a purchase history per user, and a carrier that fails one time in three.

promissory serve examples.shop.cart examples.shop.history
"""
