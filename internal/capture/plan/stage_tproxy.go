package plan

// marked holds for the proxy's packets to the application that keep the client's address.
func (b *builder) marked() []Cond {
	return []Cond{{Field: FieldOutIface, Text: loopbackInterface}, {Field: FieldMark, Number: b.plan.In.Mark, Mask: allBits}}
}

// tproxy hands arriving connections to the proxy as they are. Their packets get a mark, by which routing keeps them on
// this host; so do the application's answers to connections that the proxy made in a client's name.
func (b *builder) tproxy() {
	b.tproxyIn()
	if len(b.plan.Out.Virtual) > 0 {
		b.nat(chainIn, Prerouting)
		b.prefix = "nat_"
		b.scope()
		b.exempt()
		b.fromVirtual()
	}
	b.prefix = "divert_"
	b.aside(chainMangleOut, Output, TypeRoute, priorityMangle)
	b.scope()
	b.leave(StagePassthrough, "mark", "the proxy delivers to the application", b.marked()...)
	b.rule(StagePassthrough, "answer", "answers to the proxy", Action{Kind: DoRestoreMark},
		Cond{Field: FieldProto, Number: TCP}, Cond{Field: FieldConnMark, Number: b.plan.In.Mark})
	b.prefix = ""
}

func (b *builder) tproxyIn() {
	in := b.plan.In
	b.open(Chain{Name: chainMangleIn, Hook: Prerouting, Base: true, Type: TypeFilter, Priority: priorityMangle})
	b.scope()
	b.exempt()
	if len(b.plan.Out.Virtual) > 0 {
		b.leave(StageExempt, "virtual", "-k, kubevirtInterfaces", b.isVirtual())
	}
	if b.plan.DropInvalid {
		b.drop()
	}
	mark := Cond{Field: FieldMark, Number: in.Mark, Mask: allBits}
	b.rule(StagePassthrough, "mark", "the proxy in a client's name, or the answer to it", Action{Kind: DoSaveMark}, mark)
	b.leave(StageLoopback, "lo", "stays in the pod", Cond{Field: FieldInIface, Text: loopbackInterface})
	b.bypass()
	tcp := Cond{Field: FieldProto, Number: TCP}
	known := Cond{Field: FieldConnState, Mask: StateEstablished | StateRelated}
	b.rule(StageCapture, "established", "has its socket", Action{Kind: DoMark, Mark: in.Mark}, tcp, known)
	do := Action{Kind: DoTProxy, To: VerdictInbound, Port: in.Port, Mark: in.Mark}
	// Where the proxy doesn't listen, tproxy does nothing, and the application would get the connection.
	refuse := Action{Kind: DoDrop}
	switch {
	case in.Ports.All:
		b.rule(StageCapture, "all", "-b *", do, tcp)
		b.rule(StageCapture, "refuse", "the proxy doesn't listen", refuse, tcp)
	case len(in.Ports.List) > 0:
		ports := Cond{Field: FieldTCPPort, Set: b.set(Set{Name: "in_ports", Kind: KindPort, Ranges: in.Ports.List})}
		b.rule(StageCapture, "port", "-b, includeInboundPorts", do, ports)
		b.rule(StageCapture, "refuse", "the proxy doesn't listen", refuse, ports)
	}
}
