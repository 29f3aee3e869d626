"""The phrases of questions about a network, by concept: how people say "key and value heads" or "in the blocks"."""

from __future__ import annotations

_CONV = r"(?:convolutions?|convolutional layers?|convolution layers?|conv layers?|convs?)"
_OTHER = r"(?:another|other|the other|a different|some other|a second|the second)"
_TOWER = r"(?:towers?|stacks?(?: of layers)?|parts?|backbones?|branch(?:es)?|modules?)"

FORM_CONCEPTS: tuple[tuple[str, str], ...] = (
    ("networkkind", r"(?:kinds?|types?|sorts?|class|family) of (?:neural |deep )?(?:networks?|models?|"
                    r"architectures?|nets?)"),
    ("transformerkind", r"(?:form|kind|type|sort|variant|family|layout) of (?:a )?transformer|transformer "
                        r"(?:form|variant|"
                        r"family|layout|type)"),
    ("encoder-decoder", r"encoder decoder(?! attention)(?: (?:model|network|transformer))?|seq(?:uence)? ?(?:2|"
                        r"to) ?seq"
                        r"(?:uence)?"),
    ("encoder-only", r"encoder only|only an encoder|just an encoder"),
    ("decoder-only", r"decoder only|only a decoder|just a decoder"),
    ("outputlayer", r"(?:the )?(?:lm|language model(?:l?ing)?) head"),
    ("cross", rf"cross attention|cross attends?|encoder decoder attention|(?:attends?|attending|attention) "
              rf"(?:to|over) "
              rf"(?:the )?(?:(?:outputs?|states|hidden states|representations|features|results?|tokens|keys "
              rf"and values|"
              rf"memory) (?:of|from) )?(?:{_OTHER}(?: {_TOWER})?|the encoder|an encoder)(?: s)?(?: (?:outputs?|"
              rf"states))?"),
)  # fmt: skip
"""Concept -> its phrases: those that name parts or the network and mean neither of it."""
CONCEPTS: tuple[tuple[str, str], ...] = (
    ("deeper", r"deeper|deepest|(?:more|most|larger number of|greater number of|higher number of) (?:layers|blocks)"),
    ("transformer", r"transformers?(?! (?:layers?|blocks?))"),
    ("anencoder", r"encoder|"
        r"an encoder"),
    ("adecoder", r"decoder|"
        r"a decoder"),
    ("stackof", r"(?:separate|different|distinct|independent) (?:stacks?|series)(?: of (?:layers|blocks))?|"
                r"stacks of (?:layers|blocks)"),
    # attention
    ("sharedexpert", r"experts? (?:that (?:is|are) )?(?:is |are )?(?:used|seen|visited|passed|shared) (?:by|"
                     r"for) (?:all|every|each) tokens?|experts? that (?:is|are) always (?:active|on|used)|"
        r"shared experts?|(?:an )?experts? (?:that|which) (?:every|each|all) tokens? (?:pass(?:es)?|go(?:es)? through|"
                     r"visits?|uses?|sees?)(?: through)?|always (?:active|on|used) experts?|shared one|common "
                     r"experts?|"
                     r"experts? (?:is |are )?always (?:active|on|used)"),
    ("skip", r"(?:(?:skip|residual|shortcut|identity) (?:connections?|shortcuts?|paths?|additions?|links?)|shortcuts?|"
             r"residuals)(?: (?:end|ending|that end|which end|finish) (?:in|with) (?:an )?additions?)?"),
    ("learnedpos", r"(?:learn(?:ed|t|able)|trained|absolute) position(?:al|s)?(?: (?:embeddings?|encodings?|"
                   r"vectors?))?"
                   r"(?: table)?|position(?:al)? (?:tables?|embedding (?:table|matrix))|table of (?:the )?positions"),
    ("posenc", r"position(?:al)? (?:encodings?|embeddings?|information|scheme|representations?)|encodings? of "
               r"(?:the )?"
               r"positions?"),
    ("groupedmore", r"(?:groups of|several|multiple|more than (?:1|one)|many) channels? (?:per|in (?:each|a|"
                    r"one|every)|for each) "
                    r"group|groups? (?:of|with) (?:several|multiple|more than (?:1|one)) channels?"),
    ("grouped", rf"(?:grouped|group) {_CONV}|grouped(?! query)(?: ones)?|(?:channels )?(?:are )?convolved in "
                rf"groups|channels "
                r"(?:are )?(?:split|divided) into groups"),
    ("beforeproduct", r"before (?:the )?(?:softmax|(?:attention )?scores|they meet)|"
        r"before (?:the |their )?(?:dot )?products?|before (?:they are|being) multiplied|before (?:the )?"
                      r"(?:attention|dot product|scores)(?: (?:scores?|is computed|are computed))?"),
    ("noscores", r"(?:without|ignoring|leaving out|not counting|excluding|apart from|except) (?:the "
                 r")?attention(?: (?:scores?|"
                 r"products?|itself|matrix))?"),
    ("depthwise", rf"depth ?wise(?: {_CONV})?|one filter (?:per|for (?:each|every)) (?:input )?channel|"
                  rf"(?:filters?|convolves?) "
                  rf"(?:each|every) channel (?:by itself|on its own|separately|alone)|(?:each|every) channel "
                  rf"(?:is )?(?:filtered|"
                  rf"convolved) (?:by itself|on its own|separately|alone)"),
    ("beforeadd", r"before (?:they are|it is|being) added(?: back)?|before (?:the |their )?addition"),
    ("eachother", r"each other|one another"),
    ("latent", r"(?:multi head )?latent(?: attention)?(?: vectors?| representations?)?|mla|compress(?:es|ed|ion)?|"
               r"low rank"),
    ("mqa", r"multi query(?: attention)?|mqa"),
    ("gqa", r"grouped? query(?: attention)?|gqa"),
    ("mha", r"(?:full |plain |standard |ordinary |classic )?multi ?head(?:ed)?(?: attention)?|mha"),
    ("kvcache", r"(?:kv|k v|keys? value|keys? and values?|attention|decoding|generation) cach(?:e|ing)|cached "
                r"keys and "
                r"values|cache of (?:the )?(?:keys and values|kv)"),
    ("qk", r"(?:the )?(?:quer(?:y|ies) and (?:the )?keys?|keys? and (?:the )?quer(?:y|ies)|q and k|qk|query key)"
           r"(?: vectors?| projections?| states?)?"),
    ("cached", r"cached|cach(?:e|es)"),
    ("kv", r"(?:kv|k v|k/v|key/value|keys?/values?|keys? value|keys? and (?:the )?values?|keys? or values?)"
           r"(?: (?:vectors?|states?|projections?|pairs?))?"),
    ("windowless", r"everything|all of the (?:context|input|sequence|text)|"
        r"(?:without (?:a |any )?(?:sliding |local |attention )?window(?:s|ing)?|(?:have |has |with )?no (?:sliding |"
                   r"local |attention )?windows?|(?:the )?(?:whole|entire|full|complete) (?:context|sequence|"
                   r"input|text)|"
                   r"(?:full|global|unrestricted|unlimited)(?= attention| self attention| layers?)|globally|"
                   r"dense(?= attention| self attention)|"
                   r"(?:to|over|at) (?:all|every) (?:tokens?|positions?))"),
    ("window", r"(?:(?:sliding|local|attention|fixed|limited) )*windows?(?: size| width| length| span)?|windowed|"
               r"(?:attention )?span"),
    ("local", r"local|locally|limited|restricted|confined|nearby|neighbou?ring"),
    ("far", r"how far(?: back)?"),
    ("future", r"(?:later|future|following|next|subsequent) (?:positions?|tokens?|ones)|bidirectional(?:ly)?|"
               r"both (?:ways|"
               r"directions|sides)|looks? ahead|right context"),
    ("causal", r"one directional|one way|backwards? only|"
        r"what (?:comes|came|stands|is) before(?: it| them)?|(?:those|positions?|tokens?) before (?:it|them)|"
        r"before it(?= |$)|"
        r"causal(?:ly)?(?: mask(?:ed|ing|s)?)?|auto ?regressive(?:ly)?|unidirectional|left to right|(?:look(?:s|ing)?|"
               r"attend(?:s|ing)?|see|sees) (?:only )?(?:back(?:wards?)?|to the left)(?: only)?|"
               r"(?:(?:the )?(?:earlier|previous|past|preceding|prior) (?:positions?|tokens?|ones|inputs?)|the past)"),
    ("masked", r"hidden(?= from| to)|hides?|blind|unseen|"
        r"mask(?:s|ed)?|invisible|blocked"),
    ("attention", r"(?:self )?attention(?! layers?| operations?| modules?| blocks?| heads?)|attends?|attending"),
    ("attentionlayer", r"(?:self )?attention (?:layers?|operations?|modules?|blocks?|calls?)|layers? (?:of|"
                       r"with) (?:self )?"
                       r"attention|(?:attending|attentive) layers?"),
    ("headpool", r"(?:last|final|global) pooling"),
    ("added", r"by (?:an )?additions?|that are added|additions"),
    ("end", r"(?:(?:at|before|near|after|behind) )?(?:the )?(?:very )?end|(?:(?:after|behind|following) "
            r")?(?:the )?(?:last|final)"
            r" convolution\w*(?: layer)?|(?:before )?(?:the )?(?:classifier|classification head|output head)|"
            r"ends|closes"),
    ("together", r"(?:total|whole|combined)(?= (?:width|size|dimension))|all(?= (?:the |its |of the "
                 r")?(?:attention )?heads)|"
                 r"together|combined|in total|concatenated"),
    ("head", r"(?:self )?(?:attention )?heads?"),
    ("query", r"quer(?:y|ies)"),
    ("group", r"groups?"),
    ("share", r"shar(?:e|es|ed|ing)"),
    # experts
    ("among", r"(?:between|among|out of|from)(?= how many)"),
    ("active", r"active|activated|chosen|selects?|selected|picks?|picked|consulted|consults?|(?:sent|"
               r"routed)(?! experts?)(?: to)?|"
               r"used (?=per|for|by)|top k|process(?:es)?(?= each| every| one| a token)"),
    ("mixture", r"mixture(?: of experts)?(?: layers?| blocks?)?|moe(?: layers?| blocks?)?"),
    ("expert", r"(?:routed |sparse )?experts?"),
    ("router", r"(?:the |its )?(?:router|routing|gate network|gating network)"),
    # normalization
    ("layerscale", r"layer ?scal(?:e|es|ing)(?: parameters?)?"),
    ("scaled", r"(?:scaled?|multiplied|rescaled|weighted|scales?)(?: (?:by|with) (?:a |some )?(?:learned|"
               r"learnable|trainable)"
               r" (?:vectors?|scales?|factors?|parameters?))|(?:learned|learnable|trainable) (?:per channel "
               r")?(?:scales?|"
               r"scaling(?: factors?)?|factors?)"),
    ("branch", r"(?:residual )?branch(?:es)?"),
    ("prenorm", r"pre ?(?:layer )?norm(?:ali[sz]ation|ali[sz]ed)?|pre ln"),
    ("postnorm", r"post ?(?:layer )?norm(?:ali[sz]ation|ali[sz]ed)?|post ln"),
    ("onenorm", r"(?:layer|batch|group|rms|instance|weight|spectral) ?norm(?:ali[sz]ations?|s)?(?: (?:layers?|"
                r"modules?))?"),
    ("normlayer", r"norm(?:ali[sz]ation|ali[sz]ing)? (?:layers?|modules?|techniques?|operations?)"),
    ("norm", r"normed|"
        r"norm(?:s|ali[sz]ations?|ali[sz]es?|ali[sz]ed|ali[sz]ing)?"),
    ("place", r"(?:before|after)(?= (?:the|each|its|every|a|or)(?: |$))|at the (?:start|beginning|end) of(?= "
              r"(?:the|each|its) branch)|"
        r"where(?:abouts)?|(?:at |in )?(?:which|what) (?:place|point|position|spot)|place[ds]?|placement|located|"
              r"location|before or after|position(?= of (?:the )?norm)"),
    # feed-forward
    ("times", r"how many times"),
    ("expansion", r"how much wider|how many times wider|how much larger|"
        r"expansion(?: (?:ratio|factor|rate))?|(?:by )?(?:what|which) (?:factor|ratio)|mlp ratio|widening factor|"
                  r"times (?:as wide|wider|larger|as large)(?: as| than)?"),
    ("ffn", r"(?:the )?(?:feed ?forward|ffn|mlp)(?: (?:layers?|networks?|parts?|blocks?|modules?|branch(?:es)?))*"),
    ("inner", r"(?:inner|intermediate)(?: layers?)?|in between|in the middle|inside(?=$)"),
    ("gate", r"gated(?: linear units?)?|gat(?:e|es|ing)|glu"),
    ("swiglu", r"(?:as |like )?(?:swiglu|geglu|reglu)(?: does| do)?"),
    ("ratio", r"divided by|"
        r"ratio|quotient|proportion"),
    ("expand", r"expand(?:s|ed)?|widen(?:s|ed)?|blows? up"),
    ("activationlayer", r"activation (?:layers?|modules?)"),
    ("activation", r"(?:made )?non ?linear|activates?|"
        r"(?:activation|activations)(?: functions?)?|non ?linearit(?:y|ies)|non ?linear functions?"),
    # positions and tables
    ("rotary", r"rotary(?: (?:position )?embeddings?)?|rope|sinusoidal|relative"),
    ("orderof", r"where (?:a|each|the|every|its) (?:tokens?|words?|patch|patches|inputs?) (?:stands?|is|are|sits?)|"
        r"(?:the )?order of (?:the |its )?(?:inputs?|tokens?|words|sequence|positions)|(?:token|word) order"),
    ("encode", r"encod(?:e|es|ed|ing)|represent(?:s|ed)?|inject(?:s|ed)?|mark(?:s|ed)?|inform(?:s|ed)?"),
    ("learned", r"learn(?:ed|t|able|s)(?: (?:embeddings?|vectors?))?"),
    ("tokentype", r"segment (?:tables?|vocabulary)|"
        r"(?:token|segment|sentence) (?:types?|type (?:embeddings?|ids?|vocabulary)|embeddings? types?|ids?)|"
                  r"segment embeddings?|segments|types of tokens"),
    ("tokenid", r"(?:different |distinct )?token ids?"),
    ("tokentable", r"(?:token|word) tables?|(?<!embedding )tables? of (?:tokens|words)|"
        r"(?:token|word|input|vocabulary) embeddings?(?: (?:table|matrix|layer|weights?))?"),
    ("outputlayer", r"(?:output|final|last|prediction) (?:layer|projection|matrix|embeddings?|head|weights?)|lm head|"
                    r"language model(?:l?ing)? head|unembedding|softmax layer"),
    ("tie", r"tied|ties?|tying|re ?us(?:e|es|ed|ing)|(?:the )?same (?:weights?|matrix|parameters?|table)|transposed "
            r"embeddings?"),
    ("embedding", r"embeddings?(?: (?:table|matrix|weights?|layer))?"),
    ("vocab", r"vocab(?:ulary)?"),
    ("row", r"rows|entries"),
    # image networks
    ("patch", r"(?:image )?patch(?:es)?"),
    ("firstkernel", r"(?:first|stem) (?:filter|kernel)s?"),
    ("square", r"square"),
    ("firstconv", rf"(?:(?:first|initial|input|very first|entry|opening) (?:2d )?{_CONV}(?: (?:on|over|of) "
                  rf"(?:the|an) (?:image|"
                  rf"input))?|stem(?: {_CONV})?|{_CONV} (?:that|which) (?:reads?|sees?|takes?) the (?:image|input))"),
    ("stage", r"(?:spatial )?resolutions|scales|"
        r"(?:resolution )?stages?"),
    ("inside", r"(?:inside|within) (?:of )?(?:the |its |each |every )?(?:(?:residual|transformer) )?(?:blocks?|"
               r"layers?)|(?:in|"
               r"of) (?:the |its )(?:residual )?blocks|(?<=do )(?:the |its )?(?:residual )?blocks"),
    ("kernel", r"filters?(?! per)|"
        r"kernel (?:sizes?|dimensions?|shapes?)|kernels?|filter sizes?"),
    ("stridedlayer", rf"strided convolutions? (?:and|or) pool\w+(?: layers?)?|"
        rf"strided (?:layers?|{_CONV}|convolution and pooling layers|operations?)|(?:{_CONV}|layers?|convolution "
                     rf"and pooling layers|convolutions and pooling layers|convolutions? or pooling layers?) "
                     rf"(?:have|with|use|"
                     rf"has|that have) (?:a )?strides? (?:(?:above|greater than|over|larger than|of more than|"
                     rf"bigger than) "
                     rf"(?:1|one)|of (?:2|two) or more)|down ?sampling (?:layers?|steps?|operations?)|layers "
                     rf"that (?:down ?"
                     rf"sample|reduce)"),
    ("shrink", r"(?:reduces?|reduced|shrinks?|lower(?:s|ed)?|halves?|halved|downsampl(?:e|es|ed|ing)) (?:the |its )?"
               r"(?:spatial )?(?:resolution|feature maps?|image|size|input)|resolution (?:is )?(?:reduced|"
               r"halved|lowered|"
               r"shrunk)|downsampl(?:e|es|ed|ing)"),
    ("stride", r"steps?(?: size| width)?|"
        r"strides?"),
    ("dilated", rf"dilation (?:rates?|factors?)(?: (?:above|of more than|greater than|larger than|over) (?:1|"
                rf"one))?|dilation other than (?:1|one)|holes|spread (?:out|apart)|"
        rf"(?:dilated|atrous) {_CONV}|dilations?(?: (?:above|greater than|over|larger than|of more than|bigger than)"
                rf" (?:1|one))?|dilated|gaps(?: between (?:their |its |the )?elements)?"),
    ("transposed", rf"transposed? {_CONV}|deconvolutions?|fractionally strided {_CONV}|up ?convolutions?"),
    ("upsample", r"(?:feature maps? (?:are )?)?(?:up ?sampl(?:e|es|ed|ing)|enlarg(?:e|es|ed|ing))(?: (?:the |"
                 r"its )?feature maps?)?"),
    ("only", r"only|just|solely|exclusively"),
    ("exclude", r"besides?|other than|apart from|aside from|except(?: for)?|beyond|in addition to|of several|"
                r"of more than (?:1|one)(?: channel)?|that are not|not (?=depth)|"
                r"rather than"),
    ("pool", r"pool(?:ing|ed|s)?(?: layers?| operations?)?"),
    ("addsback", r"(?:adds?|added) (?:a value|values|an input|something|the input|inputs) (?:back )?to what "
                 r"(?:its |the |some )?"
                 r"layers? (?:made|make|computed?|did) (?:of|from|with) (?:it|them)"),
    # kinds
    ("ssm", r"(?:selective )?state ?spaces?(?: (?:layers?|models?|blocks?|modules?))?|ssms?|mamba(?: style| "
            r"like)?(?: layers?| blocks?)?|"
            r"selective scans?|s4"),
    ("convolutional", r"convolutional(?: (?:network|one|model|architecture))?|cnns?|conv ?nets?"),
    ("recurrent", r"recurrent(?: network)?|rnns?"),
    ("other", r"something else|anything else|neither|other|else|a mix(?:ture)? of both|hybrid|a mix(?:ture)?"),
    ("both", r"both"),
    ("signal", r"(?:a |an )?(?:signals?|sounds?|audio|waveforms?|spectrograms?)"),
    # costs
    ("flop", r"flops?|floating point operations?"),
    ("weightmatrix", r"(?:the |its )?(?:two )?(?:weight matri(?:x|ces)|linear layers?|matrix products?|"
                     r"matrices|matrix multiplications?|"
                     r"dense layers?|projections?)(?: alone| only)?"),
    ("weight", r"weights?"),
    ("parameter", r"(?:trainable|learnable|learned) weights?|"
        r"(?:(?:trainable|learnable|learned) )?(?:parameters?|params?)"),
    ("byte", r"bytes?"),
    ("memory", r"memory|storage|space|footprint"),
    # mixing
    ("mixer", r"(?:token|position|sequence|spatial) mix(?:er|ing)(?: operation)?|mixers?"),
    ("mix", r"mix(?:es|ed|ing)?|exchang(?:e|es|ed|ing)|combin(?:e|es|ed|ing)|communicat(?:e|es)|talk|"
            r"interact(?:s)?|moved|"
            r"flows?|travels?"),
    ("betweenpos", r"(?:between|across|over|among) (?:the )?(?:positions?|tokens?|places|locations)"),
    # general
    ("tower", r"(?:(?:two|separate) )*towers?|backbones?|(?:two )?parts?(?= (?:is|has|<deeper))"),
    ("input", r"inputs?"),
    ("given", r"given (?:to|as)|fed (?:to|into|in)|takes? as|reads? as|expects? as|goes? into"),
    ("output", r"outputs?|results?"),
    ("tensor", r"tensors?|arrays?"),
    ("return", r"return(?:s|ed)?|give(?:s)? (?:back|out)|produce[sd]?|emit(?:s|ted)?|com(?:e|es) out(?: of)?|"
               r"put(?:s)? out"),
    ("read", r"reads?|accept(?:s|ed)?|takes? in|consumes?|expects?|expected"),
    ("image", r"(?:an |the |each |one |a )?(?:images?|pictures?)"),
    ("hidden", r"hidden (?:states?|representations?|vectors?|features?|units?)|hidden|residual stream|model(?= "
               r"(?:dimension|"
               r"width|size|dim))|d model|activations vectors?"),
    ("equal", r"equals?(?: to)?|same(?: as)?|as wide as|as large as|match(?:es)?"),
    ("product", r"multiplied (?:by|with)|times|product|multipl(?:y|ies)(?: with)?"),
    ("each", r"(?:for |per |in |of |by )?(?:each|every|one|a single|single)(?= )|per"),
    ("position", r"positions?"),
    ("feature", r"numbers?(?! of)|"
        r"features?(?: maps?)?|neurons?|numbers?(?= does| do| has)|units?|values?(?= (?:does|do|has|per|in))"),
    ("pixel", r"pixels?"),
    ("data", r"data"),
    ("token", r"(?:text )?(?:tokens?|words?)|text"),
    ("channel", r"channels?"),
    ("layer", r"(?:(?:hidden|transformer|residual|stacked) )*(?:layers?|blocks?)(?: or (?:residual "
              r")?(?:layers?|blocks?))?"),
    ("convolution", _CONV),
    ("deep", r"(?<=how )deep|depth"),
    ("rank", r"ranks?"),
    ("side", r"sides?|edge length"),
    ("count", r"how many|how often|how much|number of|count(?: of)?|the count|amount of"),
    ("kind", r"kinds?(?: of)?|types?(?: of)?|sorts?(?: of)?|variants?(?: of)?|flavou?rs?(?: of)?|forms?(?: "
             r"of)?|styles?(?: of)?|"
             r"class(?: of)?|family(?: of)?|categor(?:y|ies)(?: of)?"),
    ("size", r"(?:how |as )?(?:large|wide|big|long|tall|high)|sizes?|widths?|dimensions?|dim|dimensionality|lengths?"),
    ("or", r"or"),
)  # fmt: skip
"""Concept -> its phrases, in text in lower case with hyphens as spaces; a phrase is looked for in this order."""
