package plan

// proxies are the ways to tell the proxy's packets, each with a condition of its own: owner rules match only positively,
// so packets without a socket fare alike in every backend, and any of several identities does.
func (b *builder) proxies() []owner {
	id := b.plan.Proxy
	uids := b.set(Set{Name: "proxy_uids", Kind: KindUID, Ranges: singles(id.UIDs)})
	gids := b.set(Set{Name: "proxy_gids", Kind: KindGID, Ranges: singles(id.GIDs)})
	list := []owner{
		{"uid", "-u, the proxy's", Cond{Field: FieldUID, Set: uids}},
		{"gid", "-g, the proxy's", Cond{Field: FieldGID, Set: gids}},
	}
	if m := id.Mark; m != nil {
		list = append(list, owner{"mark", "--proxy-mark", Cond{Field: FieldMark, Number: m.Value, Mask: m.Mask}})
	}
	return list
}

// owner is one way to tell whose a packet is.
type owner struct {
	what, reason string
	is           Cond
}

func (b *builder) identity() {
	do := Action{Kind: DoGoto, Chain: chainFromProxy}
	if b.plan.Mode == Listed {
		do = Action{Kind: DoReturn}
	}
	for _, p := range b.proxies() {
		b.rule(StageIdentity, p.what, p.reason, do, p.is)
	}
	for _, p := range b.strangers() {
		b.leave(StageIdentity, p.what, p.reason, p.is)
	}
	// If only some groups are captured, their packets go on in a chain of their own.
	if owned, ok := b.owned(); ok {
		reason := "ISTIO_OUTBOUND_OWNER_GROUPS"
		b.rule(StageIdentity, "owner", reason, Action{Kind: DoGoto, Chain: chainOwned}, owned)
		b.leave(StageIdentity, "others", reason+": none of them")
		b.branch(chainOwned)
	}
}

// strangers are owners whose connections are left alone.
func (b *builder) strangers() []owner {
	var list []owner
	for _, by := range b.plan.Bypass {
		if by.Stage == StageIdentity {
			set := b.set(Set{Name: "skip_uids", Kind: KindUID, Ranges: by.UIDs})
			list = append(list, owner{"skip_uid", by.Reason, Cond{Field: FieldUID, Set: set}})
		}
	}
	if gids := b.plan.Out.Owners.Exclude; len(gids) > 0 {
		set := b.set(Set{Name: "skip_gids", Kind: KindGID, Ranges: singles(gids)})
		list = append(list, owner{"skip_gid", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", Cond{Field: FieldGID, Set: set}})
	}
	return list
}

// owned holds for packets of the groups that alone are captured; it fails if everybody is.
func (b *builder) owned() (Cond, bool) {
	gids := b.plan.Out.Owners.Groups
	if len(gids) == 0 {
		return Cond{}, false
	}
	return Cond{Field: FieldGID, Set: b.set(Set{Name: "owner_gids", Kind: KindGID, Ranges: singles(gids)})}, true
}

// fromProxy decides about the proxy's own connections: on lo it chose this very pod, so the connection is inbound;
// everything else leaves, or it would loop.
func (b *builder) fromProxy() {
	b.branch(chainFromProxy)
	lo := Cond{Field: FieldOutIface, Text: loopbackInterface}
	others := b.notHairpins()
	do := Action{Kind: DoRedirect, To: VerdictInbound, Port: b.plan.In.Port}
	for _, f := range b.families() {
		away := Cond{Field: FieldDst, Not: true, Prefix: f.loopback}
		b.rule(StageIdentity, "hairpin"+f.suffix, "the proxy calls its own pod", do, lo, away, others)
	}
	b.leave(StageIdentity, "leave", "the proxy's own connections")
}

// notHairpins holds for ports that connections of the proxy to its own pod are captured at: not the tunnel's, and not
// DNS's if that is captured.
func (b *builder) notHairpins() Cond {
	tunnel := uint32(b.plan.In.Tunnel)
	if !b.plan.DNS.On() {
		return Cond{Field: FieldTCPPort, Not: true, Number: tunnel}
	}
	ports := b.set(Set{Name: "no_hairpin", Kind: KindPort, Ranges: singles([]uint32{tunnel, portDNS})})
	return Cond{Field: FieldTCPPort, Not: true, Set: ports}
}
