import torch
from safetensors.torch import save_file
torch.manual_seed(3)
m=torch.nn.Parameter(torch.randn(3,4)); v=torch.nn.Parameter(torch.randn(4))
out={'matrix.0':m.detach().clone(),'vector.0':v.detach().clone()}
o=torch.optim.AdamW([dict(params=[m],weight_decay=0.1),dict(params=[v],weight_decay=0.0)],lr=0.01,betas=(0.9,0.95),eps=1e-8)
for t in range(6):
    m.grad=torch.randn(3,4); v.grad=torch.randn(4) if t!=2 else None
    out[f'matrix_grad.{t}']=m.grad.clone()
    if v.grad is not None: out[f'vector_grad.{t}']=v.grad.clone()
    for i,g in enumerate(o.param_groups): g['lr']=0.01*(t+1)
    o.step()
    out[f'matrix.{t+1}']=m.detach().clone(); out[f'vector.{t+1}']=v.detach().clone()
# clipping
g=[torch.randn(5,5),torch.randn(7)]
ps=[torch.nn.Parameter(torch.zeros_like(x)) for x in g]
for p,x in zip(ps,g): p.grad=x.clone()
out['clip.before.0'],out['clip.before.1']=g
out['clip.norm']=torch.nn.utils.clip_grad_norm_(ps,1.5).reshape(1)
out['clip.after.0'],out['clip.after.1']=ps[0].grad.clone(),ps[1].grad.clone()
save_file({k:t.contiguous() for k,t in out.items()},'tests/data/train/adamw.safetensors')
