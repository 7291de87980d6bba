//! Cloud bearer tokens that are never stale: minted natively, kept fresh, handed out.
