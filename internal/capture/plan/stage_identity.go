package plan

// proxies are the ways to tell the proxy's packets, each with a condition of its own: owner rules match only positively,
// so packets without a socket fare alike in every backend, and any of several identities does.
func (b *builder) proxies() []proxy {
	id := b.plan.Proxy
	uids := b.set(Set{Name: "proxy_uids", Kind: KindUID, Ranges: singles(id.UIDs)})
	gids := b.set(Set{Name: "proxy_gids", Kind: KindGID, Ranges: singles(id.GIDs)})
	list := []proxy{
		{"uid", "-u, the proxy's", Cond{Field: FieldUID, Set: uids}},
		{"gid", "-g, the proxy's", Cond{Field: FieldGID, Set: gids}},
	}
	if m := id.Mark; m != nil {
		list = append(list, proxy{"mark", "--proxy-mark", Cond{Field: FieldMark, Number: m.Value, Mask: m.Mask}})
	}
	return list
}

type proxy struct {
	what, reason string
	is           Cond
}

func (b *builder) identity() {
	for _, p := range b.proxies() {
		b.rule(StageIdentity, p.what, p.reason, Action{Kind: DoGoto, Chain: chainFromProxy}, p.is)
	}
	for _, by := range b.of(StageIdentity) {
		set := b.set(Set{Name: "skip_uids", Kind: KindUID, Ranges: by.UIDs})
		b.leave(StageIdentity, "skip_uid", by.Reason, Cond{Field: FieldUID, Set: set})
	}
	b.owners()
}

// owners goes on with the stages behind identity in a chain of its own if only some groups are captured.
func (b *builder) owners() {
	owners := b.plan.Out.Owners
	if len(owners.Exclude) > 0 {
		set := b.set(Set{Name: "skip_gids", Kind: KindGID, Ranges: singles(owners.Exclude)})
		b.leave(StageIdentity, "skip_gid", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", Cond{Field: FieldGID, Set: set})
	}
	if len(owners.Groups) > 0 {
		set := b.set(Set{Name: "owner_gids", Kind: KindGID, Ranges: singles(owners.Groups)})
		reason := "ISTIO_OUTBOUND_OWNER_GROUPS"
		b.rule(StageIdentity, "owner", reason, Action{Kind: DoGoto, Chain: chainOwned}, Cond{Field: FieldGID, Set: set})
		b.leave(StageIdentity, "others", reason+": none of them")
		b.branch(chainOwned)
	}
}

// fromProxy decides about the proxy's own connections: on lo it chose this very pod, so the connection is inbound;
// everything else leaves, or it would loop.
func (b *builder) fromProxy() {
	b.branch(chainFromProxy)
	lo := Cond{Field: FieldOutIface, Text: loopbackInterface}
	tunnel := Cond{Field: FieldTCPPort, Not: true, Number: uint32(b.plan.In.Tunnel)}
	do := Action{Kind: DoRedirect, To: VerdictInbound, Port: b.plan.In.Port}
	for _, f := range b.families() {
		away := Cond{Field: FieldDst, Not: true, Prefix: f.loopback}
		b.rule(StageIdentity, "hairpin"+f.suffix, "the proxy calls its own pod", do, lo, away, tunnel)
	}
	b.leave(StageIdentity, "leave", "the proxy's own connections")
}
